# Copyright (c) mmbombo contributors.
"""Reading COCO's instance files, with the checks that its readers leave out.

pycocotools and MMDetection take what they find: an annotation whose category
or image is not listed is skipped without a word, and its object becomes
background.
"""
import os.path as osp
from itertools import zip_longest
from typing import Any, Dict, List, Sequence, Tuple

from .checks.coco_shapes import check_shape
from .errors import DatasetError, list_problems, read_json, reading

#: What a file of instances holds, and what each entry must have.
REQUIRED = dict(
    images=('id', 'file_name', 'height', 'width'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'))
KEY_TYPES = {
    **dict.fromkeys(('id', 'image_id', 'category_id'), (int, str)),
    **dict.fromkeys(('file_name', 'name'), str),
    **dict.fromkeys(('height', 'width'), (int, float, type(None)))
}
#: What ``coco_semantic.py`` writes beside the maps that it draws.
MAP_RECORD = 'semantic.json'


def read_coco_json(path: str) -> Dict[str, Any]:
    """Read a file of instances and check that its parts fit together.

    Raises ``DatasetError`` naming the file and the entry, if it is not a file
    of instances, or an annotation names an image or a category that the file
    does not list, or an id occurs twice.
    """
    content = read_json(path)
    _check_keys(content, path)
    check_file_names(content, path)
    for annotation in content['annotations']:
        check_annotation(annotation, path)
        check_shape(annotation, path)
    _check_references(content, path)
    return content


def check_file_names(content: Dict[str, Any], path: str) -> None:
    """Raise ``DatasetError`` if images are one file under several ids: what is
    an object to one of them is background to the others."""
    ids: Dict[str, Any] = {}
    for image in content['images']:
        name = image.get('file_name')
        if name and ids.setdefault(name, image['id']) != image['id']:
            raise DatasetError(
                f'{path}: {name!r} is the file of the images {ids[name]} and '
                f'{image["id"]}; give it one id, and that to the annotations '
                'of both')


def check_annotation(annotation: Dict[str, Any],
                     path: str) -> Tuple[List[float], bool]:
    """Box x1, y1, x2, y2 of an annotation, and whether it is to be ignored;
    ``DatasetError`` names the annotation, if a value is of the wrong type."""
    for key, due, right in _EXPECTED:
        value = annotation['bbox'] if key == 'bbox' else annotation.get(key, 0)
        if not right(value):
            raise DatasetError(
                f'{path}: annotation {annotation.get("id")} has the {key} '
                f'{_short(value)}, where {due} due; correct it')
    x, y, width, height = map(float, annotation['bbox'])
    ignored = annotation.get('iscrowd') or annotation.get('ignore')
    return [x, y, x + width, y + height], bool(ignored)


def _is_number(value: Any) -> bool:
    # a larger one is no number of pixels
    return type(value) in (int, float) and abs(value) <= 1e9


def _is_flag(value: Any) -> bool:
    return value is None or (isinstance(value, int) and value in (0, 1))


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str))


#: Keys of an annotation, what they must be, and whether a value is it.
_EXPECTED = (('bbox', 'four numbers are', lambda x: isinstance(x, list) and
              len(x) == 4 and all(map(_is_number, x))),
             ('area', 'a number is', _is_number),
             ('iscrowd', '0 or 1 is', _is_flag),
             ('ignore', '0 or 1 is', _is_flag),
             ('image_id', 'an id is', _is_id),
             ('category_id', 'an id is', _is_id))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + '...'


def _check_keys(content: Any, path: str) -> None:
    for part, keys in REQUIRED.items():
        if not isinstance(content, dict) or part not in content:
            raise DatasetError(
                f'{path}: no {part!r} in it, so it is not a file of COCO '
                'instances (instances_*.json)')
        if not isinstance(content[part], list):
            raise DatasetError(f'{path}: {part!r} is not a list')
        for number, entry in enumerate(content[part]):
            if not isinstance(entry, dict):
                raise DatasetError(f'{path}: {part}[{number}] is no object '
                                   '{...}, but ' + _short(entry))
            wrong = [
                key for key in entry
                if not isinstance(entry[key], KEY_TYPES.get(key, object))
            ]
            if wrong:
                raise DatasetError(
                    f'{path}: {part}[{number}] has a {wrong[0]} of the wrong '
                    f'type, {_short(entry[wrong[0]])}')
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


def read_map_record(path: str) -> List[str]:
    """The classes of the maps that ``coco_semantic.py`` drew."""
    what = 'a record of coco_semantic.py: draw the maps again'
    with reading(path, what):
        classes = list(read_json(path, what)['classes'])
        if not all(isinstance(x, str) for x in classes):
            raise TypeError('classes that are no text')
    return classes


def check_map_record(folder: str, seg_classes: Sequence[str]) -> None:
    """Raise ``DatasetError`` if the maps of a folder were drawn for other
    classes, or in another order. Without a record there is nothing to
    compare."""
    path = osp.join(folder, MAP_RECORD)
    if not osp.isfile(path):
        return
    drawn = read_map_record(path)
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
