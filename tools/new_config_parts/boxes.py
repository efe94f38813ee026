# Copyright (c) mmbombo contributors.
"""Looking at boxes of COCO, VOC, YOLO and LabelMe, and at tags."""
import csv
import os.path as osp
import sys
from collections import Counter
from typing import Optional

from mmengine.utils import track_iter_progress

from mmbombo.datasets.coco_json import category_names, read_coco_json
from mmbombo.datasets.errors import DatasetError, read_json, reading
from mmbombo.datasets.voc_xml import parse_xml
from mmbombo.registry import DATASETS
from .files import find_images, images_of, list_files
from .found import Code, Found, wrap

YOLO_NAMES = ('data.yaml', 'data.yml', 'dataset.yaml', 'classes.txt',
              'obj.names')


def look_at_boxes(name: str, place: str, images: Optional[str]) -> Found:
    """Tell the format of boxes (a file or folder) and read them."""
    if osp.isfile(place) and place.endswith('.json'):
        return look_at_coco(name, place, images)
    if list_files(place, '.xml'):
        return look_at_voc(name, place, images)
    if is_labelme(place):
        return look_at_labelme(name, place, 'bbox')
    if list_files(place, '.txt'):
        return look_at_yolo(name, place, images)
    raise DatasetError(
        f'--boxes {place}: neither a COCO JSON file nor a folder of VOC, YOLO '
        'or LabelMe')


def look_at_coco(name: str, place: str, images: Optional[str]) -> Found:
    content = read_coco_json(place)
    with reading(place, 'a file whose images all have a `file_name`'):
        files = [image['file_name'] for image in content['images']]
    root, stem = osp.split(osp.splitext(place)[0])
    stem = stem.replace('instances_', '')
    standard = [
        osp.join(folder, sub) for folder in (root, osp.dirname(root))
        for sub in ('images', osp.join('images', stem), stem, '')
    ]
    folder = find_images(images, standard, files, '--images')
    by_id = {x['id']: x['name'] for x in content['categories']}
    classes = Counter(dict.fromkeys(category_names(content), 0))
    classes.update(by_id[x['category_id']] for x in content['annotations'])
    wrapped = dict(
        type='mmdet.CocoDataset', ann_file=place, data_prefix=dict(img=folder))
    return Found(name, 'bbox', place,
                 {file: osp.join(folder, file)
                  for file in files}, wrap('bbox', wrapped), classes)


def look_at_voc(name: str, place: str, images: Optional[str]) -> Found:
    """VOC's XML files: all of a folder, or those in its Annotations."""
    root = subfolder(place, 'Annotations')
    xml = [osp.splitext(file)[0] for file in list_files(root, '.xml')]
    deeper = [stem for stem in xml if '/' in stem]
    if deeper:
        raise DatasetError(f'{root}: {deeper[0]}.xml is in a folder of its '
                           'own; name each such folder with --boxes')
    parent = osp.dirname(root)
    standard = [osp.join(parent, x) for x in ('JPEGImages', 'images')] + [root]
    suffixes = Counter(
        osp.splitext(file)[1]
        for file in sorted(images_of(xml, images, standard)))
    suffix = max(suffixes, key=suffixes.get, default='.jpg')
    folder = find_images(images, standard, [x + suffix for x in xml],
                         '--images')
    paths = {x: osp.join(folder, x + suffix) for x in xml}
    there = {x: path for x, path in paths.items() if osp.isfile(path)}
    classes: Counter = Counter()
    for stem in track_iter_progress([*there], file=sys.stderr):
        tree = parse_xml(osp.join(root, stem + '.xml'))
        classes.update(x.findtext('name') for x in tree.iter('object'))
    config = dict(
        type='PartialVOCDataset',
        annotation_kinds=('bbox', ),
        data_root='',
        data_prefix=dict(img_path=folder, ann_path=root),
        img_suffix=suffix,
        metainfo=Code('metainfo'))
    found = Found(
        name,
        'bbox',
        place,
        there,
        config,
        in_order(classes),
        ids_in_list=True)
    if len(there) < len(xml):
        found.notes.append(f'{len(xml) - len(there)} XML files without an '
                           f'image {suffix} were left out')
    return found


def is_labelme(folder: str) -> bool:
    """Whether a folder has LabelMe's JSON files, by the first one."""
    files = list_files(folder, '.json') if osp.isdir(folder) else []
    if not files:
        return False
    content = read_json(osp.join(folder, files[0]))
    return isinstance(content, dict) and 'shapes' in content


def look_at_labelme(name: str, folder: str, kind: str) -> Found:
    """Shapes, as boxes or as masks."""
    wrapped = dict(type='LabelMeDataset', data_prefix=dict(img_path=folder))
    found = look_through(name, kind, folder, wrapped, folder)
    if kind == 'sem_seg':  # what no shape covers
        names = Counter(background=len(found.images))
        names.update(found.classes)
        found.classes = names
        found.notes.append('pixels of no shape are background')
    return found


def look_at_yolo(name: str, place: str, images: Optional[str]) -> Found:
    """Text files, and the file beside them that names their classes."""
    root = subfolder(place, 'labels')
    parents = (root, osp.dirname(root), osp.dirname(osp.dirname(root)))
    names = [
        osp.join(parent, file) for parent in parents for file in YOLO_NAMES
        if osp.isfile(osp.join(parent, file))
    ]
    if not names:
        raise DatasetError(f'{place}: no data.yaml or classes.txt beside it '
                           'names the classes; put one there')
    stems = [osp.splitext(x)[0] for x in list_files(root, '.txt')]
    standard = [
        osp.join(parents[1], 'images'),
        root.replace('labels', 'images'), root
    ]
    folder = find_images(images, standard, images_of(stems, images, standard),
                         '--images')
    wrapped = dict(
        type='YOLODataset',
        ann_file=names[0],
        data_prefix=dict(img_path=folder, label_path=root))
    found = look_through(name, 'bbox', place, wrapped, folder)
    found.all_classes = True
    return found


def look_through(name: str, kind: str, place: str, wrapped: dict,
                 folder: str) -> Found:
    """Read a set with its reader."""
    dataset = DATASETS.build(wrapped)
    dataset.full_init()
    classes = dataset.metainfo['classes']
    counts: Counter = Counter(dict.fromkeys(classes, 0))
    images = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        key = osp.relpath(info['img_path'], folder).replace('../', '')
        images[key] = osp.normpath(info['img_path'])
        shown = [
            classes[x['bbox_label']] for x in info['instances']
            if not x['ignore_flag']
        ]
        counts.update(shown if kind == 'bbox' else set(shown))
    return Found(name, kind, place, images, wrap(kind, wrapped), counts)


def look_at_tags(name: str, place: str, images: Optional[str]) -> Found:
    """Lines ``file,label;label`` of a CSV file."""
    with reading(place, 'a CSV file of tags'), \
            open(place, newline='', encoding='utf-8-sig') as file:
        rows = [row for row in csv.reader(file) if row and row[0] != 'file']
    root = osp.dirname(place)
    files = [row[0].strip() for row in rows]
    folder = find_images(images, [osp.join(root, 'images'), root or '.'],
                         files, '--tag-images')
    counts = Counter(x.strip() for row in rows
                     for x in ';'.join(row[1:]).split(';') if x.strip())
    config = dict(
        type='ImageLabelDataset',
        ann_file=place,
        data_prefix=dict(img_path=folder),
        metainfo=Code('metainfo'))
    return Found(name, 'image_label', place,
                 {x: osp.join(folder, x)
                  for x in files}, config, in_order(counts))


def subfolder(place: str, name: str) -> str:
    """A folder of that name in a place, or the place itself."""
    root = osp.normpath(place)
    return osp.join(root, name) if osp.isdir(osp.join(root, name)) else root


def in_order(counts: Counter) -> Counter:
    """Sorted by name."""
    return Counter(dict(sorted(counts.items())))
