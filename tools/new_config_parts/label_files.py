# Copyright (c) mmbombo contributors.
"""Looking at YOLO's and LabelMe's files, by their readers."""
import json
import os.path as osp
from collections import Counter
from typing import Optional

from mmbombo.datasets.errors import DatasetError
from mmbombo.registry import DATASETS
from .files import find_images, list_files, list_images
from .found import METAINFO, Found

NAMES = ('data.yaml', 'data.yml', 'dataset.yaml', 'classes.txt', 'obj.names')


def is_labelme(folder: str) -> bool:
    """Whether a folder has LabelMe's JSON files, by the first one."""
    files = list_files(folder, ('.json', )) if osp.isdir(folder) else []
    if not files:
        return False
    with open(osp.join(folder, files[0]), encoding='utf-8-sig') as file:
        content = json.load(file)
    return isinstance(content, dict) and 'shapes' in content


def look_at_labelme(name: str, folder: str, kind: str) -> Found:
    """Shapes, as boxes or as masks."""
    wrapped = dict(type='LabelMeDataset', data_prefix=dict(img_path=folder))
    found = look_through(name, kind, folder, wrapped, folder)
    if kind == 'sem_seg':  # what no shape covers
        names = Counter(dict.fromkeys(('background', ), len(found.images)))
        names.update(found.classes)
        found.classes = names
        found.notes.append('pixels of no shape are background')
    return found


def look_at_yolo(name: str, place: str, images: Optional[str]) -> Found:
    """Text files, and the file beside them that names their classes."""
    root = osp.normpath(place)
    if osp.isdir(osp.join(root, 'labels')):
        root = osp.join(root, 'labels')
    parents = (root, osp.dirname(root), osp.dirname(osp.dirname(root)))
    names = [
        osp.join(parent, file) for parent in parents for file in NAMES
        if osp.isfile(osp.join(parent, file))
    ]
    if not names:
        raise DatasetError(f'{place}: no data.yaml or classes.txt beside it '
                           'names the classes; put one there')
    stems = {osp.splitext(x)[0] for x in list_files(root, ('.txt', ))}
    standard = [
        osp.join(parents[1], 'images'),
        root.replace('labels', 'images'), root
    ]
    files = [
        file for folder in ([images] if images else standard)
        if osp.isdir(folder) for file in list_images(folder)
        if osp.splitext(file)[0] in stems
    ]
    folder = find_images(images, standard, files, '--images')
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
    config = dict(
        type='PartialAnnotationDataset',
        annotation_kinds=(kind, ),
        dataset=wrapped,
        metainfo=METAINFO)
    return Found(name, kind, place, images, config, counts)
