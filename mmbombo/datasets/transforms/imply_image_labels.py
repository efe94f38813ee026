# Copyright (c) mmbombo contributors.
"""Loading and packing tags, and concluding them from boxes and masks."""
from typing import Optional, Sequence, Union

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures import DetDataSample
from mmengine.structures import LabelData

from mmbombo.registry import ANNOTATION_LOADERS, ANNOTATION_PACKERS, TRANSFORMS
from mmbombo.structures import (BBOX, SEM_SEG, ClassMap, annotation_kind,
                                check_kinds)
from mmbombo.structures.image_labels import IMAGE_LABEL, UNKNOWN
from mmbombo.weak_labels.implied_labels import ImpliedLabels, merge_labels


@ANNOTATION_LOADERS.register_module(name=IMAGE_LABEL)
def load_image_labels(transform: BaseTransform, results: dict) -> None:
    """Load what a data set says of the classes of an image."""
    results['gt_image_labels'] = np.array(results['image_labels'], np.int8)


@ANNOTATION_PACKERS.register_module(name=IMAGE_LABEL)
def pack_image_labels(results: dict, sample: DetDataSample) -> None:
    """Pack them as ``gt_image_label``."""
    sample.gt_image_label = LabelData(
        label=torch.from_numpy(results['gt_image_labels']))


@TRANSFORMS.register_module()
class ImplyImageLabels(BaseTransform):
    """Conclude from boxes or mask which classes an image shows.

    It comes after augmentation, since a crop may lose an object. A class is
    present, absent or unknown: boxes say nothing of a class that only masks
    show; ignored pixels, crowd and difficult boxes, and boxes that a crop has
    dropped though a part of the object may be seen, make the classes that
    they may hide unknown. Images without boxes and mask pass unchanged; where
    tags are declared beside these, they stand for what is unknown.

    The kind ``image_label`` is added to the sample's ``annotation_kinds``.

    Added key: ``gt_image_labels`` (int8 (C, )).

    Args:
        class_map (dict | ClassMap): Relation of the classes, as the model's.
        classes (Sequence[str], optional): The classes of the task 'cls', as
            the model's. Defaults to None, the detection classes.
    """

    def __init__(self,
                 class_map: Union[dict, ClassMap],
                 classes: Optional[Sequence[str]] = None) -> None:
        if not isinstance(class_map, ClassMap):
            class_map = ClassMap(**class_map)
        self.class_map = class_map
        self.classes = tuple(classes or class_map.det_classes)
        self.implied = ImpliedLabels(class_map, self.classes)

    def adds_kinds(self, kinds: Sequence[str]) -> Sequence[str]:
        """Kinds that images of some annotation kinds get."""
        implied = any(
            IMAGE_LABEL in annotation_kind(x).implies
            for x in {BBOX, SEM_SEG} & {*kinds})
        return [IMAGE_LABEL] if implied and IMAGE_LABEL not in kinds else []

    def transform(self, results: dict) -> dict:
        """Add the labels of one sample."""
        kinds = results['annotation_kinds']
        if not {BBOX, SEM_SEG} & {*kinds}:
            return results
        labels = np.full(len(self.classes), UNKNOWN, np.int8)
        if BBOX in kinds:
            labels = merge_labels(labels, self._from_boxes(results))
        if SEM_SEG in kinds:
            labels = merge_labels(
                labels, self.implied.from_mask(results['gt_seg_map']))
        if IMAGE_LABEL in kinds:  # what a crop has left is known better
            labels = np.where(labels == UNKNOWN, results['gt_image_labels'],
                              labels)
        results['gt_image_labels'] = labels
        results['annotation_kinds'] = check_kinds({*kinds, IMAGE_LABEL})
        return results

    def _from_boxes(self, results: dict) -> np.ndarray:
        labels = np.asarray(results['gt_bboxes_labels'], dtype=int)
        ignored = np.asarray(results['gt_ignore_flags'], dtype=bool)
        before = {x['bbox_label'] for x in results['instances']}
        lost = before - set(labels.tolist())
        doubtful = [*lost, *results.get('incomplete_labels', ())]
        return self.implied.from_boxes(
            labels[~ignored],
            np.concatenate([labels[ignored],
                            np.array(doubtful, dtype=int)]))
