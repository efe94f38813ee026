# Copyright (c) mmbombo contributors.
"""Validation of boxes and masks at once against mmdet's and mmseg's.

Each of the images passes through one network and both metrics, or through
MMDetection's network and metric and then through MMSegmentation's. The images
are in memory; reading them twice would be in the other side's time too.
"""
import io
from argparse import Namespace
from contextlib import redirect_stdout
from typing import Dict, List

from mmdet.evaluation import CocoMetric
from mmengine.evaluator import Evaluator
from mmseg.evaluation import IoUMetric
from torch import nn

from mmbombo.evaluation import BoxAPMetric, MultiTaskEvaluator, SegIoUMetric
from mmbombo.structures import BBOX, SEM_SEG
from .batches import NUM_CLASSES, draw, for_mmdet, for_mmseg, fresh
from .networks import (build_ours, build_stock, floor_of_inference,
                       make_predict, tensors_in)
from .rows import Row, in_turn, ratio_of
from .stock import sizes

MARGIN = 1.05
CLASSES = tuple(f'class {i}' for i in range(NUM_CLASSES))
SEG_CLASSES = ('background', *CLASSES)


def run(options: Namespace) -> List[Row]:
    """Compare the metrics, then the times."""
    images = draw(options, [(BBOX, SEM_SEG)] * options.images)
    ours = build_ours(options.model)
    make_predict(ours.eval(), draw(options, [(BBOX, )] * options.batch),
                 ours.task_heads.det.test_cfg.score_thr)
    det, seg = build_stock(options.model, ours)
    for model in (ours, det, seg):
        model.to(options.device).eval()
    boxes, maps = for_mmdet(images), for_mmseg(images)

    def joint() -> Dict[str, float]:
        return validate(ours, images, our_evaluator(), options)

    def separate() -> Dict[str, float]:
        return {
            **validate(det, boxes, det_evaluator(), options),
            **validate(seg, maps, seg_evaluator(), options)
        }

    same = same_scores(joint(), separate())
    kept = our_evaluator()
    process(ours, images, kept, options)
    largest = max(x.numel() for x in tensors_in(vars(kept)))
    ours_ms, stock_ms = in_turn(joint, separate, options.repeats)
    ratio, spread = ratio_of(ours_ms, stock_ms)
    floor = floor_of_inference(options.model, options.size)
    return [
        Row(f'validation_{options.model}',
            ratio,
            MARGIN * floor,
            'at most',
            spread,
            'time of validation of both tasks / of mmdet and of mmseg',
            conditions={
                'same AP and mIoU, as far as they are rounded': same,
                'metrics keep no map': largest < options.size**2
            },
            figures={
                **sizes(options, options.images), 'batch': options.batch,
                'floor': round(floor, 3)
            },
            times=dict(ours=ours_ms, mmdet_and_mmseg=stock_ms))
    ]


def our_evaluator() -> Evaluator:
    """Routes samples to the metrics of both tasks."""
    evaluator = MultiTaskEvaluator(
        dict(
            det=BoxAPMetric(classwise=False),
            seg=SegIoUMetric(iou_metrics=['mIoU'])))
    evaluator.dataset_meta = dict(classes=CLASSES, seg_classes=SEG_CLASSES)
    return evaluator


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


def process(model: nn.Module, images: dict, evaluator: Evaluator,
            options: Namespace) -> None:
    """Send all images through a network and to its metrics."""
    images = fresh(images)
    for start in range(0, options.images, options.batch):
        part = {
            key: values[start:start + options.batch]
            for key, values in images.items()
        }
        evaluator.process(data_samples=model.val_step(part), data_batch=part)


def validate(model: nn.Module, images: dict, evaluator: Evaluator,
             options: Namespace) -> Dict[str, float]:
    """Scores of a network; metrics copy to the CPU, which waits for a GPU."""
    with redirect_stdout(io.StringIO()):
        process(model, images, evaluator, options)
        return evaluator.evaluate(options.images)


def same_scores(ours: Dict[str, float], stock: Dict[str, float]) -> bool:
    """MMDetection rounds to three digits, MMSegmentation to two."""
    return bool(
        abs(ours['det/bbox_mAP'] - stock['coco/bbox_mAP']) < 1e-3
        and abs(ours['seg/mIoU'] - stock['mIoU']) < 1e-2)
