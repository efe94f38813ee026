# Copyright (c) mmbombo contributors.
"""Validation of boxes and masks at once against mmdet's and mmseg's.

Each of the images passes through one network and both metrics, or through
MMDetection's network and metric and then through MMSegmentation's. The images
are in memory; reading them twice would be in the other side's time too. The
libraries' networks are in a process without mmbombo.
"""
import math
from argparse import Namespace
from typing import Dict, List

from mmengine.evaluator import Evaluator

from mmbombo.evaluation import BoxAPMetric, MultiTaskEvaluator, SegIoUMetric
from mmbombo.structures import BBOX, SEM_SEG
from .baseline import Baseline
from .batches import draw, for_mmdet, for_mmseg
from .networks import (build_ours, floor_of_inference, make_predict,
                       tensors_in, weights_of)
from .rows import Row, alternate, ratio_of, require_same, timed
from .scores import CLASSES, SEG_CLASSES, process, validate
from .stock import sizes

MARGIN = 1.05


def run(options: Namespace) -> List[Row]:
    """Compare the metrics, then the times."""
    images = draw(options, [(BBOX, SEM_SEG)] * options.images)
    ours = build_ours(options.model)
    make_predict(ours.eval(), draw(options, [(BBOX, )] * options.batch),
                 ours.task_heads.det.test_cfg.score_thr)
    ours.to(options.device)

    def joint() -> Dict[str, float]:
        return validate(ours, images, our_evaluator(), options.batch)

    with Baseline(options) as stock:
        stock.build(weights_of(ours), for_mmdet(images), for_mmseg(images))
        same = same_scores(joint(), stock.ask('validate'))
        require_same(same, 'scores')
        ours_ms, stock_ms = alternate(lambda: timed(joint)[0],
                                      stock.time('validate'), options.repeats)
    kept = our_evaluator()
    process(ours, images, kept, options.batch)
    largest = max(x.numel() for x in tensors_in(vars(kept)))
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
                'metrics keep no map': largest < math.prod(options.size)
            },
            figures={
                **sizes(options, options.images), 'batch': options.batch,
                'floor': round(floor, 3),
                **stock.figures()
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


def same_scores(ours: Dict[str, float], stock: Dict[str, float]) -> bool:
    """MMDetection rounds to three digits, MMSegmentation to two."""
    return bool(
        abs(ours['det/bbox_mAP'] - stock['coco/bbox_mAP']) < 1e-3
        and abs(ours['seg/mIoU'] - stock['mIoU']) < 1e-2)
