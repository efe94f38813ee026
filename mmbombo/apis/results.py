# Copyright (c) mmbombo contributors.
"""Predictions as plain numbers and files."""
import os
import os.path as osp
from typing import List, Sequence

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from PIL import Image
from pycocotools import mask as coco_mask

from mmbombo.structures.panoptic import predicted_segments
from mmbombo.visualization import ClassStyle, label_map_image
from mmbombo.visualization.layers import map_ids, to_numpy


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if label < len(names) else f'class {label}'


def sample_to_dict(sample: DetDataSample, dataset_meta: dict) -> dict:
    """Turn predictions into a dict that JSON can hold.

    Args:
        sample (:obj:`DetDataSample`): With any of ``pred_instances``,
            ``pred_sem_seg`` and ``pred_image_label``, at the original size of
            the image.
        dataset_meta (dict): ``classes``, ``seg_classes`` and ``cls_classes``.

    Returns:
        dict: ``height`` and ``width`` of the image; of boxes, ``bboxes``
        (x1, y1, x2, y2 in pixels of the original image), ``labels``,
        ``class_names`` and ``scores``; of the map, ``segments``: for each
        class in it ``label``, ``class_name``, ``area`` in pixels and
        ``segmentation``, run lengths as COCO writes them; of the tags,
        ``tags``: for each class its score; of the panoptic map,
        ``panoptic``: for each segment ``id``, as in the PNG file, ``label``,
        ``class_name``, ``area`` and ``number``, 0 for stuff, and k for the
        object of the k-th box, if the map was made from boxes.
    """
    height, width = sample.ori_shape[:2]
    result: dict = dict(height=int(height), width=int(width))
    if 'pred_instances' in sample:
        instances = sample.pred_instances
        labels = to_numpy(instances.labels).astype(int).tolist()
        names = dataset_meta.get('classes', ())
        result.update(
            bboxes=to_numpy(instances.bboxes).astype(float).tolist(),
            labels=labels,
            class_names=[_name(names, label) for label in labels],
            scores=to_numpy(instances.scores).astype(float).tolist())
    if 'pred_sem_seg' in sample:
        result['segments'] = _segments(
            map_ids(sample.pred_sem_seg), dataset_meta.get('seg_classes', ()))
    if 'pred_image_label' in sample:
        scores = to_numpy(sample.pred_image_label.score).astype(float).tolist()
        names = dataset_meta.get('cls_classes', ())
        result['tags'] = {_name(names, i): x for i, x in enumerate(scores)}
    found = predicted_segments(sample, dataset_meta.get('classes', ()))
    if found is not None:
        result['panoptic'] = found[1]
    return result


def _segments(ids: np.ndarray, names: Sequence[str]) -> List[dict]:
    """Encode each class of a map (H, W) as run lengths."""
    segments = []
    for label in np.unique(ids).tolist():
        mask = ids == label
        runs = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        segments.append(
            dict(
                label=label,
                class_name=_name(names, label),
                area=int(mask.sum()),
                segmentation=dict(
                    size=[int(side) for side in runs['size']],
                    counts=runs['counts'].decode('ascii'))))
    return segments


def write_label_map(path: str, field: PixelData,
                    styles: Sequence[ClassStyle]) -> None:
    """Write a map of ids 0-255 as a palette PNG; its folder is made."""
    os.makedirs(osp.dirname(path), exist_ok=True)
    label_map_image(map_ids(field), styles).save(path)


def write_segments(path: str, sample: DetDataSample,
                   dataset_meta: dict) -> None:
    """Write a panoptic map as COCO's PNG: R + 256 G + 256^2 B is the id of a
    segment, 0 is void; its folder is made."""
    os.makedirs(osp.dirname(path), exist_ok=True)
    ids = predicted_segments(sample, dataset_meta.get('classes', ()))[0]
    digits = np.dstack([ids, ids >> 8, ids >> 16]) & 255
    Image.fromarray(digits.astype(np.uint8)).save(path)
