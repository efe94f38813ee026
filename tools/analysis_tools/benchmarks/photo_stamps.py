# Copyright (c) mmbombo contributors.
"""Training images of PhotoStamps with boxes and the true object masks."""
import hashlib
from pathlib import Path
from typing import List, NamedTuple, Tuple

import cv2
import numpy as np
import torch
from mmdet.structures.bbox import HorizontalBoxes
from PIL import Image

from mmbombo.datasets.voc_xml import read_instances
from .voc_sources import class_names


class Sample(NamedTuple):
    """One image."""

    path: Path
    image: np.ndarray  # (H, W, 3) uint8, BGR
    boxes: np.ndarray  # (K, 4) float64 x1, y1, x2, y2
    labels: np.ndarray  # (K,) int64
    objects: np.ndarray  # (H, W) uint8, number of the box + 1; 255 is void


def for_reports(name: str) -> bool:
    """Whether an image is for reports: options are chosen on the others.

    Either part holds about half of the training images, by the hash of their
    names.
    """
    return hashlib.sha1(name.encode()).digest()[0] % 2 == 1


def read_samples(root: Path, limit: int) -> List[Sample]:
    """The first training images with boxes that are for reports."""
    classes = class_names(root)
    listed = (root / 'ImageSets' / 'Main' / 'det_train.txt').read_text()
    chosen = [name for name in listed.split() if for_reports(name)]
    return [_read(root, name, classes) for name in chosen[:limit]]


def as_recipe(sample: Sample) -> dict:
    """An image with its boxes, as they reach ``LoadPseudoMask``."""
    return dict(
        img=sample.image,
        img_path=str(sample.path),
        gt_bboxes=HorizontalBoxes(
            torch.as_tensor(sample.boxes, dtype=torch.float32)),
        gt_bboxes_labels=sample.labels,
        gt_ignore_flags=np.zeros(len(sample.boxes), bool))


def _read(root: Path, name: str, classes: Tuple[str, ...]) -> Sample:
    path = root / 'JPEGImages' / f'{name}.jpg'
    image = cv2.imread(str(path))
    instances = read_instances(
        str(root / 'Annotations' / f'{name}.xml'), {
            label: number
            for number, label in enumerate(classes)
        })
    return Sample(
        path, image,
        np.array([item['bbox'] for item in instances]).reshape(-1, 4),
        np.array([item['bbox_label'] for item in instances], dtype=np.int64),
        np.array(Image.open(root / 'SegmentationObject' / f'{name}.png')))
