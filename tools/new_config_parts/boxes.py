# Copyright (c) mmbombo contributors.
"""Looking at boxes: COCO's JSON files and VOC's folders; others are in
label_files."""
import os.path as osp
import sys
from collections import Counter
from typing import Optional

from mmengine.utils import track_iter_progress

from mmbombo.datasets.coco_json import category_names, read_coco_json
from mmbombo.datasets.errors import DatasetError
from mmbombo.datasets.voc_xml import parse_xml
from .files import find_images, list_files, list_images
from .found import METAINFO, Found
from .label_files import is_labelme, look_at_labelme, look_at_yolo


def look_at_boxes(name: str, place: str, images: Optional[str]) -> Found:
    """Tell the format of boxes (a file or folder) and read them."""
    if osp.isfile(place) and place.endswith('.json'):
        return look_at_coco(name, place, images)
    if list_files(place, ('.xml', )):
        return look_at_voc(name, place, images)
    if is_labelme(place):
        return look_at_labelme(name, place, 'bbox')
    if list_files(place, ('.txt', )):
        return look_at_yolo(name, place, images)
    raise DatasetError(
        f'--boxes {place}: neither a COCO JSON file nor a folder of VOC, YOLO '
        'or LabelMe')


def look_at_coco(name: str, place: str, images: Optional[str]) -> Found:
    content = read_coco_json(place)
    files = {image['id']: image['file_name'] for image in content['images']}
    root, stem = osp.split(osp.splitext(place)[0])
    stem = stem.replace('instances_', '')
    standard = [
        osp.join(folder, sub) for folder in (root, osp.dirname(root))
        for sub in ('images', osp.join('images', stem), stem, '')
    ]
    folder = find_images(images, standard, [*files.values()], '--images')
    by_id = {x['id']: x['name'] for x in content['categories']}
    classes = Counter(dict.fromkeys(category_names(content), 0))
    classes.update(by_id[x['category_id']] for x in content['annotations'])
    wrapped = dict(
        type='mmdet.CocoDataset', ann_file=place, data_prefix=dict(img=folder))
    return Found(
        name, 'bbox', place,
        {file: osp.join(folder, file)
         for file in files.values()},
        dict(
            type='PartialAnnotationDataset',
            annotation_kinds=('bbox', ),
            dataset=wrapped,
            metainfo=METAINFO), classes)


def look_at_voc(name: str, place: str, images: Optional[str]) -> Found:
    """VOC's XML files: all of a folder, or those in its Annotations."""
    root = osp.normpath(place)
    if osp.isdir(osp.join(root, 'Annotations')):
        root = osp.join(root, 'Annotations')
    xml = [osp.splitext(file)[0] for file in list_files(root, ('.xml', ))]
    deeper = [stem for stem in xml if '/' in stem]
    if deeper:
        raise DatasetError(f'{root}: {deeper[0]}.xml is in a folder of its '
                           'own; name each such folder with --boxes')
    parent = osp.dirname(root)
    standard = [osp.join(parent, x) for x in ('JPEGImages', 'images')] + [root]
    suffixes = Counter(
        osp.splitext(file)[1] for folder in ([images] if images else standard)
        if osp.isdir(folder) for file in list_images(folder)
        if osp.splitext(file)[0] in set(xml))
    suffix = min(suffixes, key=lambda x: (-suffixes[x], x), default='.jpg')
    folder = find_images(images, standard, [x + suffix for x in xml],
                         '--images')
    classes: Counter = Counter()
    there = [x for x in xml if osp.isfile(osp.join(folder, x + suffix))]
    for stem in track_iter_progress(there, file=sys.stderr):
        tree = parse_xml(osp.join(root, stem + '.xml'))
        classes.update(x.findtext('name') for x in tree.iter('object'))
    config = dict(
        type='PartialVOCDataset',
        annotation_kinds=('bbox', ),
        data_root='',
        data_prefix=dict(img_path=folder, ann_path=root),
        img_suffix=suffix,
        metainfo=METAINFO)
    notes = [
        f'{len(xml) - len(there)} XML files without an image {suffix} '
        'were left out'
    ] if len(there) < len(xml) else []
    return Found(
        name,
        'bbox',
        place, {x: osp.join(folder, x + suffix)
                for x in there},
        config,
        Counter({x: classes[x]
                 for x in sorted(classes)}),
        ids_in_list=True,
        notes=notes)
