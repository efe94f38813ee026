# Copyright (c) mmbombo contributors.
"""Batches in memory, as the data loader's workers would hand them over."""
from argparse import Namespace
from typing import List, Tuple

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmbombo.structures import BBOX, SEM_SEG
from mmbombo.weak_labels import label_components
from .running import fresh
from .stock import NUM_CLASSES

#: Of 6 objects two touch, so that they are one component, and one is behind a
#: strip, so that it is two.
KINDS_OF_OBJECTS = ('single', 'single', 'single', 'touching', 'occluded')
#: Smallest component that is a target, in pixels.
MIN_AREA = 80


def draw(options: Namespace,
         kinds_of_images: List[tuple],
         num_classes: int = NUM_CLASSES) -> dict:
    """Images of rectangles, with all that any loss or metric may ask for.

    Args:
        options (Namespace): ``size``, height and width in pixels.
        kinds_of_images (list[tuple]): Annotation kinds of each image.
        num_classes (int): Classes of the rectangles.

    Returns:
        dict: ``inputs`` (list of uint8 ``(3, H, W)``) and ``data_samples``.
    """
    rng = np.random.default_rng(0)
    drawn = [
        _draw_one(rng, number, kinds, options.size, num_classes)
        for number, kinds in enumerate(kinds_of_images)
    ]
    return dict(
        inputs=[image for image, _ in drawn],
        data_samples=[sample for _, sample in drawn])


def own_batch(options: Namespace, num_classes: int = NUM_CLASSES) -> dict:
    """``options.batch`` images with boxes, then as many with masks."""
    kinds = [(BBOX, )] * options.batch + [(SEM_SEG, )] * options.batch
    return draw(options, kinds, num_classes)


def _draw_one(rng: np.random.Generator, number: int, kinds: tuple,
              size: Tuple[int, int], num_classes: int):
    height, width = size
    side = min(size)
    image = rng.integers(0, 120, (3, *size), dtype=np.uint8)
    mask = np.zeros(size, np.uint8)
    boxes, labels = [], []
    for kind in KINDS_OF_OBJECTS:
        w, h = rng.integers(side // 8, side // 2, 2)
        x, y = (int(rng.integers(0, room)) for room in (width - w, height - h))
        label = int(rng.integers(num_classes))
        mask[y:y + h, x:x + w] = label + 1
        image[:, y:y + h, x:x + w] += 100
        right, bottom, middle = x + int(w), y + int(h), x + int(w) // 2
        parts = [[x, y, right, bottom]]
        if kind == 'touching':
            parts = [[x, y, middle, bottom], [middle, y, right, bottom]]
        if kind == 'occluded':
            strip = slice(middle - side // 64, middle + side // 64)
            mask[y:bottom, strip] = image[:, y:bottom, strip] = 0
        boxes += parts
        labels += [label] * len(parts)
    sample = DetDataSample(
        metainfo=dict(
            annotation_kinds=kinds,
            source='drawn',
            sample_idx=number,
            img_id=number,
            img_path=f'{number}.jpg',
            img_shape=size,
            ori_shape=size,
            scale_factor=(1., 1.),
            instances=[
                dict(bbox=box, bbox_label=label, ignore_flag=0)
                for box, label in zip(boxes, labels)
            ]))
    ids = PixelData(sem_seg=torch.from_numpy(mask[None]))
    if BBOX in kinds:
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(boxes).float(), labels=torch.tensor(labels))
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    if SEM_SEG in kinds:
        sample.gt_sem_seg = ids
    if SEM_SEG not in kinds:
        sample.pseudo_sem_seg = ids
    if BBOX not in kinds:
        component_map, table = label_components(mask, MIN_AREA,
                                                range(1, num_classes + 1))
        sample.component_map = PixelData(
            data=torch.from_numpy(component_map[None]))
        sample.components = InstanceData(
            bboxes=torch.from_numpy(table['boxes']),
            labels=torch.from_numpy(table['labels']),
            areas=torch.from_numpy(table['areas']),
            ignored=torch.from_numpy(table['ignored']))
    return torch.from_numpy(image), sample


def for_mmdet(batch: dict) -> dict:
    """The images with boxes, packed as MMDetection does."""
    return _packed(batch, BBOX, _as_det_sample)


def for_mmseg(batch: dict) -> dict:
    """The images with masks, packed as MMSegmentation does."""
    return _packed(batch, SEM_SEG, _as_seg_sample)


def _packed(batch: dict, kind: str, pack) -> dict:
    chosen = [(image, sample)
              for image, sample in zip(batch['inputs'], batch['data_samples'])
              if kind in sample.annotation_kinds]
    return dict(
        inputs=[image for image, _ in chosen],
        data_samples=[pack(sample) for _, sample in chosen])


def _as_det_sample(sample: DetDataSample) -> DetDataSample:
    return DetDataSample(
        metainfo=dict(sample.metainfo),
        gt_instances=sample.gt_instances,
        ignored_instances=sample.ignored_instances)


def _as_seg_sample(sample: DetDataSample) -> SegDataSample:
    return SegDataSample(
        metainfo=dict(sample.metainfo),
        gt_sem_seg=PixelData(data=sample.gt_sem_seg.sem_seg.long()))


def raw_inputs(model: nn.Module, batch: dict) -> Tensor:
    """Images of a batch as the network sees them, ``(N, 3, H, W)``."""
    return model.data_preprocessor(fresh(batch), True)['inputs']
