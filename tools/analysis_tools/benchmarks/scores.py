# Copyright (c) mmbombo contributors.
"""A validation loop on images in memory, and the libraries' evaluators.

No import of mmbombo: a baseline may run in a process without it.
"""
import io
from contextlib import redirect_stdout
from typing import Dict

import torch
from mmdet.evaluation import CocoMetric
from mmengine.evaluator import Evaluator
from mmseg.evaluation import IoUMetric
from torch import nn

from .running import fresh
from .stock import NUM_CLASSES

CLASSES = tuple(f'class {i}' for i in range(NUM_CLASSES))
SEG_CLASSES = ('background', *CLASSES)


def det_evaluator() -> Evaluator:
    """MMDetection's, which writes the ground truth to a file first."""
    evaluator = Evaluator(CocoMetric(metric='bbox'))
    evaluator.dataset_meta = dict(classes=CLASSES)
    return evaluator


def seg_evaluator() -> Evaluator:
    """MMSegmentation's."""
    evaluator = Evaluator(IoUMetric(iou_metrics=['mIoU']))
    evaluator.dataset_meta = dict(classes=SEG_CLASSES)
    return evaluator


@torch.no_grad()
def process(model: nn.Module, images: dict, evaluator: Evaluator,
            size: int) -> None:
    """Send all images through a network and to its metrics, as MMEngine does.

    Args:
        model (nn.Module): A model of MMEngine, in evaluation mode.
        images (dict): ``inputs`` and ``data_samples``.
        evaluator (Evaluator): Its evaluator.
        size (int): Images at once.
    """
    images = fresh(images)
    for start in range(0, len(images['inputs']), size):
        part = {
            key: values[start:start + size]
            for key, values in images.items()
        }
        evaluator.process(data_samples=model.val_step(part), data_batch=part)


def validate(model: nn.Module, images: dict, evaluator: Evaluator,
             size: int) -> Dict[str, float]:
    """Scores of a network; metrics copy to the CPU, which waits for a GPU."""
    with redirect_stdout(io.StringIO()):
        process(model, images, evaluator, size)
        return evaluator.evaluate(len(images['inputs']))
