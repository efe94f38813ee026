# Copyright (c) mmbombo contributors.
"""One network for both tasks against MMDetection's and MMSegmentation's.

The same backbone, neck, heads, weights and images on either side.
"""
import io
import math
from argparse import Namespace
from contextlib import redirect_stdout
from typing import Dict, Iterator, List, Tuple

import torch
from mmdet.evaluation import CocoMetric
from mmdet.registry import MODELS
from mmengine.evaluator import Evaluator
from mmseg.evaluation import IoUMetric
from torch import nn

from mmbombo.evaluation import BoxAPMetric, MultiTaskEvaluator, SegIoUMetric
from mmbombo.structures import BBOX, SEM_SEG
from .networks import (Training, build_ours, draw, floors, fresh, let_predict,
                       own_batch, peak_memory, weights_in_bytes)
from .rows import compare, make_row, require_same
from .stock import NUM_CLASSES, detector_cfg, network_cfg, segmentor_cfg

#: A network and its batch.
Side = Tuple[nn.Module, dict]
CLASSES = tuple(f'class {i}' for i in range(NUM_CLASSES))
SEG_CLASSES = ('background', *CLASSES)
AGAINST = '/ that of mmdet and mmseg'


def joint_step(options: Namespace) -> Iterator[dict]:
    """Half of the images have boxes, the other half masks."""
    ours, stock = both_sides(options, own_batch(options))
    two = [Training(*side) for side in stock]
    yield compare(
        options,
        f'joint_step_{options.model}',
        f'time of a joint step of {2 * options.batch} images {AGAINST}',
        1.02,
        ours=Training(*ours),
        mmdet_and_mmseg=lambda: [step() for step in two])


def inference(options: Namespace) -> Iterator[dict]:
    """Time and memory, both of the other side's networks resident."""
    floor = floors(options)['inference']
    for count in (1, 16):
        batch = draw(options, [(BBOX, SEM_SEG)] * count)
        ours, stock = both_sides(options, batch)
        yield compare(
            options,
            f'inference_{count}_{options.model}',
            f'time of joint inference {AGAINST}, floor {floor:.3f}',
            1.03 * floor,
            ours=lambda: predict(*ours),
            mmdet_and_mmseg=lambda: [predict(*side) for side in stock])
        yield memory_row(f'inference_memory_{count}_{options.model}',
                         *memory_of([ours], options.device),
                         *memory_of(stock, options.device))


def memory_of(sides: List[Side], device: str) -> Tuple[int, int]:
    """Bytes of networks, and with the peak of their predictions."""
    weights = sum(weights_in_bytes(model) for model, _ in sides)
    peak = peak_memory(lambda: [predict(*side) for side in sides], device,
                       weights)
    return weights, peak


def memory_row(name: str, weights: int, ours: int, others: int,
               two: int) -> dict:
    """The floor: weights of one network, and the larger of the two peaks."""
    floor = (weights + two - others) / two
    text = (f'memory of joint inference, {ours / 2**20:.1f} MiB {AGAINST}, '
            f'{two / 2**20:.1f} MiB, floor {floor:.3f}')
    return make_row(name, text, 1.05 * floor, [ours / two])


def validation(options: Namespace) -> Iterator[dict]:
    """Images in memory: reading them twice would slow the other side too."""
    images = draw(options, [(BBOX, SEM_SEG)] * options.images)
    ours, (det, seg) = both_sides(options, images)
    ap, iou = BoxAPMetric(classwise=False), SegIoUMetric(iou_metrics=['mIoU'])
    both = MultiTaskEvaluator(dict(det=ap, seg=iou))
    both.dataset_meta = dict(classes=CLASSES, seg_classes=SEG_CLASSES)
    coco, ious = Evaluator(CocoMetric()), Evaluator(IoUMetric())
    coco.dataset_meta = dict(classes=CLASSES)
    ious.dataset_meta = dict(classes=SEG_CLASSES)

    def joint() -> Dict[str, float]:
        return validate(*ours, both, options.batch)

    def two() -> Dict[str, float]:
        scores = validate(*det, coco, options.batch)
        return dict(scores, **validate(*seg, ious, options.batch))

    scores, theirs = joint(), two()
    # theirs are rounded to three and to two digits
    same = (
        abs(scores['det/bbox_mAP'] - theirs['coco/bbox_mAP']) < 1e-3
        and abs(scores['seg/mIoU'] - theirs['mIoU']) < 1e-2)
    require_same(same, 'scores')
    floor = floors(options)['inference']
    yield compare(
        options,
        f'validation_{options.model}',
        f'time of a validation of {options.images} images {AGAINST}, floor '
        f'{floor:.3f}',
        1.05 * floor,
        ours=joint,
        mmdet_and_mmseg=two)


@torch.no_grad()
def predict(model: nn.Module, batch: dict) -> list:
    """A network's predictions, without gradients as in MMEngine's loops."""
    return model.test_step(fresh(batch))


def validate(model: nn.Module, images: dict, evaluator: Evaluator,
             size: int) -> Dict[str, float]:
    """Scores of a network on images in memory, ``size`` at once."""
    total = len(images['inputs'])
    with redirect_stdout(io.StringIO()):
        for start in range(0, total, size):
            part = {
                key: values[start:start + size]
                for key, values in images.items()
            }
            evaluator.process(predict(model, part), part)
        return evaluator.evaluate(total)


def both_sides(options: Namespace, batch: dict) -> Tuple[Side, List[Side]]:
    """Our network and the other two, each with its batch; the sums of their
    losses are the same."""
    ours = build_ours(options).eval()
    heads = ours.task_heads
    let_predict(ours, batch, heads.det.test_cfg.score_thr)
    cfg = network_cfg(options.model)
    det, seg = (
        MODELS.build(part(cfg)).to(options.device).eval()
        for part in (detector_cfg, segmentor_cfg))
    det.bbox_head.load_state_dict(heads.det.head.state_dict())
    seg.decode_head.load_state_dict(heads.seg.head.state_dict())
    for model in (det, seg):
        model.backbone.load_state_dict(ours.backbone.state_dict())
        model.neck.load_state_dict(ours.neck.state_dict())
    sides = [(det, with_field(batch, 'gt_instances')),
             (seg, with_field(batch, 'gt_sem_seg'))]
    losses = sum(sum_of_losses(*side) for side in sides)
    same = math.isclose(sum_of_losses(ours, batch), losses, rel_tol=1e-4)
    require_same(same, 'losses')
    return (ours, batch), sides


@torch.no_grad()
def sum_of_losses(model: nn.Module, batch: dict) -> float:
    """Of a network in evaluation mode: statistics of all images are not those
    of half of them."""
    data = model.data_preprocessor(fresh(batch), True)
    return float(model.parse_losses(model(**data, mode='loss'))[0])


def with_field(batch: dict, field: str) -> dict:
    """The images that have a field."""
    has = [field in sample for sample in batch['data_samples']]
    return {
        key: [x for x, wanted in zip(values, has) if wanted]
        for key, values in batch.items()
    }
