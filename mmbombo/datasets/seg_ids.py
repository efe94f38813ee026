# Copyright (c) mmbombo contributors.
"""What the gray values of a mask file mean.

Every way to say it (identity, a map of ids, ignored ids, MMSegmentation's
``reduce_zero_label`` and ``label_map``) becomes one table with an entry per
gray value, so that the check before training and the loading in the workers
cannot disagree.
"""
from typing import Dict, Iterable, List, Optional, Sequence

import numpy as np

from mmbombo.structures import IGNORE_INDEX
from mmbombo.utils import UserError
from .errors import DatasetError
from .image_size import open_image

#: Entry of an id that must not occur.
UNKNOWN_ID = -1
#: #0D0D0D
MISSING_INDEX = 0x0D0D0D


def build_id_table(
    num_classes: int,
    id_map: Optional[Dict[int, int]] = None,
    ignore_ids: Iterable[int] = ()
) -> np.ndarray:
    """Build the table from ids in a file to segmentation ids, int16
    ``(256, )``: segmentation id, 255 (ignored) or -1 (must not occur).

    Without ``id_map`` ids are kept; 255 is ignored besides ``ignore_ids``.
    """
    if not 0 < num_classes <= IGNORE_INDEX:
        raise UserError(f'{num_classes} segmentation classes: masks hold 1 '
                        f'to {IGNORE_INDEX}')
    if id_map is None:
        id_map = {index: index for index in range(num_classes)}
    table = np.full(256, UNKNOWN_ID, dtype=np.int16)
    table[IGNORE_INDEX] = IGNORE_INDEX
    for file_id, seg_id in id_map.items():
        file_id, seg_id = int(file_id), int(seg_id)
        if not 0 <= file_id <= 255:
            raise UserError(f'seg_id_map: {file_id} is not in 0..255')
        if not 0 <= seg_id < num_classes and seg_id != IGNORE_INDEX:
            raise UserError(
                f'seg_id_map: {file_id} -> {seg_id}, but the {num_classes} '
                f'segmentation classes have ids 0..{num_classes - 1}')
        table[file_id] = seg_id
    for file_id in ignore_ids:
        if not 0 <= int(file_id) <= 255:
            raise UserError(f'seg_ignore_ids: {file_id} is not in 0..255')
        table[int(file_id)] = IGNORE_INDEX
    return table


def build_mmseg_id_table(num_classes: int, reduce_zero_label: bool,
                         label_map: Optional[Dict[int, int]],
                         ignore_index: int) -> np.ndarray:
    """The table that MMSegmentation's ``LoadAnnotations`` applies.

    With ``reduce_zero_label`` id 0 is ignored and the others count from 1;
    ``label_map``, applied after that, is from original to used class, 255 for
    an unused one.
    """
    if label_map is None:
        label_map = {index: index for index in range(num_classes)}
    shift = int(reduce_zero_label)
    id_map = {
        original + shift: seg_id
        for original, seg_id in label_map.items()
    }
    ignore_ids = [0] if reduce_zero_label else []
    if ignore_index not in id_map:
        ignore_ids.append(ignore_index)
    return build_id_table(num_classes, id_map, ignore_ids)


def build_wrapped_id_table(info: dict, ignore_index: int, num_classes: int,
                           id_map: Optional[Dict[int, int]],
                           ignore_ids: Sequence[int]) -> np.ndarray:
    """The table for a data set of another library, which says itself
    (``info``, ``ignore_index``) how it translates ids, or leaves it to the
    arguments."""
    reduce_zero = bool(info.get('reduce_zero_label'))
    label_map = info.get('label_map')
    if not reduce_zero and label_map is None:
        return build_id_table(num_classes, id_map, (*ignore_ids, ignore_index))
    if id_map is not None or ignore_ids:
        raise DatasetError(
            'seg_id_map and seg_ignore_ids do not combine with the wrapped '
            "set's reduce_zero_label or label_map (classes that differ from "
            'its METAINFO); use one or the other')
    return build_mmseg_id_table(num_classes, reduce_zero, label_map,
                                ignore_index)


def check_colors(colors: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
    """Refuse what are no distinct colors (r, g, b); return them."""
    array = np.asarray(colors, dtype=object)
    if array.ndim != 2 or array.shape[1] != 3 or len(array) > 255 or any(
            not isinstance(x, int) or not 0 <= x <= 255 for x in array.flat):
        raise DatasetError('seg_colors must be at most 255 colors (r, g, b) of'
                           ' numbers in 0..255, one per id')
    if len(set(map(tuple, colors))) < len(colors):
        raise DatasetError('seg_colors names a color twice; give each id its '
                           'own')
    return colors


def colors_to_ids(path: str, image: np.ndarray,
                  colors: Sequence[Sequence[int]]) -> np.ndarray:
    """Ids (H, W) of an image of colors (H, W, 3)."""
    pack = np.array([1 << 16, 1 << 8, 1])
    codes = np.asarray(colors) @ pack
    order = np.argsort(codes)
    red, green, blue = np.moveaxis(image.astype(np.int32), 2, 0)
    pixels = red << 16 | green << 8 | blue
    found = np.searchsorted(codes[order], pixels).clip(max=len(codes) - 1)
    ids = order[found].astype(np.uint8)
    wrong = codes[ids] != pixels
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DatasetError(
            f'{path}: the color {tuple(image[row, column].tolist())} at x '
            f'{column}, y {row} is not one of seg_colors; add it there, and '
            'its id to `seg_ignore_ids` if it is no class')
    return ids


def read_indices(path: str) -> np.ndarray:
    """Numbers ``(H, W)`` of 24 bits, whose bytes are a pixel's red, green and
    blue."""
    with open_image(path, 'mask') as image:
        pixels = np.array(image.convert('RGB')).astype(np.int32)
    return pixels @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)


def read_index_map(path: str, classes: np.ndarray) -> np.ndarray:
    """Ids ``(H, W)`` of a map of indices; ``classes`` has the id of each.

    #0D0D0D, which 2D-3D-S means by a missing label, is 255.
    """
    indices = read_indices(path)
    missing = indices == MISSING_INDEX
    indices[missing] = 0
    if indices.max() >= len(classes):
        raise DatasetError(
            f'{path}: the index {indices.max()} is none of the {len(classes)} '
            'of semantic_labels.json; are they of one version?')
    return np.where(missing, IGNORE_INDEX, classes[indices]).astype(np.uint8)


def unknown_ids(ids: Iterable[int], table: np.ndarray) -> List[int]:
    """Those of ``ids`` that ``table`` says must not occur."""
    return [int(index) for index in ids if table[index] == UNKNOWN_ID]


def describe_unknown_ids(path: str, ids: Sequence[int],
                         seg_classes: Sequence[str]) -> str:
    """Name the ids in a mask that mean nothing, and what to do."""
    return (f'{path}: id(s) {list(ids)} are outside the class map: the '
            f'{len(seg_classes)} classes ({", ".join(seg_classes[:3])}, ...) '
            f'have ids 0..{len(seg_classes) - 1} and {IGNORE_INDEX} is '
            'ignored. Translate ids with `seg_id_map`, ignore them with '
            '`seg_ignore_ids`, or add the classes to '
            '`metainfo[\'seg_classes\']`')
