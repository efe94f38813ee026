# Copyright (c) mmbombo contributors.
import math
import os.path as osp
from typing import List, Sequence, Tuple

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmengine.fileio import list_dir_or_file
from pycocotools import mask as mask_utils

from mmbombo.registry import DATASETS
from mmbombo.structures import IGNORE_INDEX
from .errors import MALFORMED, DatasetError, read_json, reading
from .image_size import read_image_size

#: Points that a shape of each type has at least.
SHAPES = dict(polygon=3, rectangle=2, circle=2)
#: Labels that are no class: nothing, and what nobody may learn from.
BACKGROUNDS, IGNORED = ('background', '_background_'), '__ignore__'


@DATASETS.register_module()
class LabelMeDataset(BaseDetDataset):
    """LabelMe's JSON files, for :class:`PartialAnnotationDataset`.

    Rectangles, polygons and circles are boxes; with the kind ``sem_seg`` they
    are painted when the image is loaded, see :func:`paint_shapes`. Other
    shapes are refused. ``__ignore__`` is a region to ignore.

    Args:
        data_prefix (dict): ``img_path``, the folder of the JSON files, with
            subfolders; each names its image relative to itself.
        metainfo (dict, optional): ``classes``. Defaults to None: all labels
            that occur, sorted.
        **kwargs: Arguments of :class:`mmdet.datasets.BaseDetDataset`.

    Raises:
        DatasetError: Naming the file and the key or shape that is wrong.
    """

    def load_data_list(self) -> List[dict]:
        """Read the JSON files."""
        folder = self.data_prefix['img_path']
        paths = sorted(
            osp.join(folder, x) for x in list_dir_or_file(
                folder, list_dir=False, suffix='.json', recursive=True))
        contents = [read_labelme(path) for path in paths]
        none = {*BACKGROUNDS, IGNORED}
        classes = self._metainfo.get('classes') or sorted(
            {label
             for _, shapes in contents
             for label, _ in shapes} - none)
        self._metainfo['classes'] = classes = tuple(classes)
        data_list = []
        for path, (image, shapes) in zip(paths, contents):
            height, width = read_image_size(image)
            instances = []
            for label, points in shapes:
                if label in BACKGROUNDS and label not in classes:
                    continue
                ignored = label == IGNORED
                if not ignored and label not in classes:
                    raise DatasetError(_unknown(path, label, classes))
                instances.append(
                    dict(
                        bbox=[
                            *points.min(0).tolist(), *points.max(0).tolist()
                        ],
                        bbox_label=0 if ignored else classes.index(label),
                        ignore_flag=int(ignored)))
            data_list.append(
                dict(
                    img_id=osp.relpath(path, folder),
                    img_path=image,
                    seg_map_path=path,
                    height=height,
                    width=width,
                    instances=instances))
        return data_list


def read_labelme(path: str) -> Tuple[str, List[Tuple[str, np.ndarray]]]:
    """Path of the image, and label and outline ``(N, 2)`` of each shape."""
    what = 'a JSON file of LabelMe with imagePath and shapes'
    with reading(path, what):
        content = read_json(path, what)
        image = osp.join(
            osp.dirname(path), content['imagePath'].replace('\\', '/'))
        shapes = list(content['shapes'])
    return image, [
        _read_shape(f"{path}: shape {number}", shape)
        for number, shape in enumerate(shapes, start=1)
    ]


def _read_shape(place: str, shape: dict) -> Tuple[str, np.ndarray]:
    try:
        label, kind = shape['label'], shape.get('shape_type') or 'polygon'
        points = np.asarray(shape['points'], dtype=np.float64)
    except MALFORMED as error:
        raise DatasetError(f'{place}: label or points are missing or wrong '
                           f'({error}); correct them') from error
    if not isinstance(label, str) or str(kind) not in SHAPES:
        raise DatasetError(
            f'{place} ({label}): a {kind} has no area; known are '
            f'{tuple(SHAPES)}. Draw it as one of them, or remove it')
    if points.ndim != 2 or points.shape[1] != 2 or len(
            points) < SHAPES[kind] or not np.isfinite(points).all():
        raise DatasetError(f'{place} ({label}): a {kind} needs at least '
                           f'{SHAPES[kind]} points [x, y]; correct them')
    if kind == 'rectangle':
        (x1, y1), (x2, y2) = points.min(0), points.max(0)
        points = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    elif kind == 'circle':  # center and a point of the circle
        angles = np.arange(64) * (2 * math.pi / 64)
        radius = math.dist(*points[:2])
        points = points[0] + radius * np.stack(
            [np.cos(angles), np.sin(angles)], axis=1)
    return label, points


def paint_shapes(path: str, seg_classes: Sequence[str],
                 size: Tuple[int, int]) -> np.ndarray:
    """Ids ``(H, W)`` of the shapes of a file, later ones over earlier ones.

    Pixels of no shape are background, if that is a class, else ignored.
    """
    ids = {name: index for index, name in enumerate(seg_classes)}
    nothing = next((ids[x] for x in BACKGROUNDS if x in ids), IGNORE_INDEX)
    ids = {**dict.fromkeys(BACKGROUNDS, nothing), IGNORED: IGNORE_INDEX, **ids}
    seg_map = np.full(size, nothing, dtype=np.uint8)
    for label, points in read_labelme(path)[1]:
        if label not in ids:
            raise DatasetError(_unknown(path, label, seg_classes))
        # COCO's rule of which pixels are inside; what lies far outside would
        # only take its time
        reach = max(size)
        outline = np.clip(points, -reach, 2 * reach).ravel().tolist()
        inside = mask_utils.decode(
            mask_utils.frPyObjects([outline], *size))[..., 0]
        seg_map[inside > 0] = ids[label]
    return seg_map


def _unknown(path: str, label: str, classes: Sequence[str]) -> str:
    return (f'{path}: label {label!r} is not one of the classes '
            f'{tuple(classes)}; correct it, or add it to metainfo')
