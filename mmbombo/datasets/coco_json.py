# Copyright (c) mmbombo contributors.
"""Reading COCO's instance files, with the checks that its readers leave out.

pycocotools and MMDetection take what they find: an annotation whose category
or image is not listed is skipped without a word, and its object becomes
background.
"""
import json
import os.path as osp
from itertools import zip_longest
from typing import Any, Dict, List, Sequence

from .errors import DatasetError, list_problems

#: What a file of instances holds, and what each entry must have.
REQUIRED = dict(
    images=('id', 'file_name', 'height', 'width'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'))
#: What ``coco_semantic.py`` writes beside the maps that it draws.
MAP_RECORD = 'semantic.json'


def read_coco_json(path: str) -> Dict[str, Any]:
    """Read a file of instances and check that its parts fit together.

    Raises ``DatasetError`` naming the file and the entry, if it is not a file
    of instances, or an annotation names an image or a category that the file
    does not list, or an id occurs twice.
    """
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except FileNotFoundError:
        raise DatasetError(f'{path} does not exist') from None
    except ValueError as error:
        raise DatasetError(f'{path}: not a JSON file ({error})') from error
    _check_keys(content, path)
    _check_references(content, path)
    return content


def _check_keys(content: Any, path: str) -> None:
    for part, keys in REQUIRED.items():
        if not isinstance(content, dict) or part not in content:
            raise DatasetError(
                f'{path}: no {part!r} in it, so it is not a file of COCO '
                'instances (instances_*.json)')
        if not isinstance(content[part], list):
            raise DatasetError(f'{path}: {part!r} is not a list')
        for number, entry in enumerate(content[part]):
            missing = [key for key in keys if key not in entry]
            # LVIS has only the address of an image.
            if missing and missing != ['file_name']:
                raise DatasetError(
                    f'{path}: {part}[{number}] has no {missing}: is this a '
                    'file of instances (instances_*.json), not of captions '
                    'or panoptic segments?')


def _check_references(content: Dict[str, Any], path: str) -> None:
    problems = []
    for part in REQUIRED:
        ids = [entry['id'] for entry in content[part]]
        if len(set(ids)) != len(ids):
            seen: set = set()
            twice = next(i for i in ids if i in seen or seen.add(i))
            problems.append(f'{part}: id {twice} occurs twice')
    images = {image['id'] for image in content['images']}
    categories = {category['id'] for category in content['categories']}
    for annotation in content['annotations']:
        place = f'annotation {annotation["id"]}'
        if annotation['image_id'] not in images:
            problems.append(f'{place}: image_id {annotation["image_id"]} is '
                            'not in images')
        if annotation['category_id'] not in categories:
            problems.append(f'{place}: category_id '
                            f'{annotation["category_id"]} is not in '
                            'categories')
    if problems:
        raise DatasetError(
            list_problems(f'{path}: entries that do not fit together',
                          problems))


def check_category_names(content: Dict[str, Any], path: str,
                         classes: Sequence[str], remedy: str) -> None:
    """Raise ``DatasetError`` if classes have no category, with a remedy."""
    names = category_names(content)
    missing = [name for name in classes if name not in names]
    if missing:
        raise DatasetError(
            f'{path} has no category {_some(missing)}; it has {_some(names)}. '
            f'{remedy}')


def check_map_record(folder: str, seg_classes: Sequence[str]) -> None:
    """Raise ``DatasetError`` if the maps of a folder were drawn for other
    classes, or in another order. Without a record there is nothing to
    compare."""
    path = osp.join(folder, MAP_RECORD)
    if not osp.isfile(path):
        return
    try:
        with open(path, encoding='utf-8') as file:
            drawn = list(json.load(file)['classes'])
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f'{path}: not a record of coco_semantic.py ({error!r}); remove '
            'the folder and draw the maps again') from error
    for index, (name, own) in enumerate(zip_longest(drawn, seg_classes)):
        if name != own:
            raise DatasetError(
                f'{path}: id {index} of these maps is {name!r}, but '
                f"metainfo['seg_classes'][{index}] is {own!r}: correct the "
                'classes, or translate the ids with `seg_id_map`')


def category_names(content: Dict[str, Any]) -> List[str]:
    """Names of the categories, in the order of their ids."""
    categories = sorted(content['categories'], key=lambda c: c['id'])
    return [category['name'] for category in categories]


def _some(names: Sequence[str], most: int = 10) -> str:
    listed = list(names[:most])
    more = len(names) - len(listed)
    return f'{listed} and {more} more' if more else str(listed)
