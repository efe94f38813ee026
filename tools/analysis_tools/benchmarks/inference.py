# Copyright (c) mmbombo contributors.
"""Boxes and mask from one network against one network for each.

The same backbone, neck, heads, weights and images. Memory is the weights, both
models resident, and the largest activations. The libraries' networks are in a
process without mmbombo.
"""
from argparse import Namespace
from typing import List, Tuple

import torch

from mmbombo.structures import BBOX, SEM_SEG
from .baseline import Baseline
from .batches import draw, for_mmdet, for_mmseg
from .networks import build_ours, floor_of_inference, make_predict, weights_of
from .rows import Row, alternate, ratio_of, require_same, timed
from .running import peak_memory, predict, waiting, weights_in_bytes
from .stock import sizes

MARGIN = 1.03
BATCHES = (1, 16)
#: Network that two would not be trained for, and its goal.
LIGHT, LIGHT_GOAL = 'mobilenetv2', .60
#: Share of pixels whose two largest logits differ by rounding only.
NEAR_TIES = 1e-4
SIDES = ('ours', 'mmdet_and_mmseg')


def run(options: Namespace) -> List[Row]:
    """Time both batches, and look at the memory."""
    with Baseline(options) as stock:
        return [
            row for count in BATCHES for row in compare(options, stock, count)
        ]


def compare(options: Namespace, stock: Baseline, count: int) -> List[Row]:
    """Rows of a batch: compare the predictions, then times and memory."""
    batch = draw(options, [(BBOX, SEM_SEG)] * count)
    ours = build_ours(options.model).to(options.device).eval()
    make_predict(ours, batch, ours.task_heads.det.test_cfg.score_thr)
    stock.build(weights_of(ours), for_mmdet(batch), for_mmseg(batch))
    joint = waiting(options.device, lambda: predict(ours, batch))
    found = [sample.cpu() for sample in joint()]
    same = same_predictions(found, *stock.ask('predictions'))
    require_same(same, 'predictions')
    times = alternate(lambda: timed(joint)[0], stock.time('predict'),
                      options.repeats)
    held = (peak_memory(joint, options.device, weights_in_bytes(ours)),
            stock.ask('memory'))
    return [
        time_row(options, count, times, same, stock.figures()),
        memory_row(options, count, held, stock.figures())
    ]


def same_predictions(joint: list, boxes: list, maps: list) -> bool:
    """Whether both sides predict the same, near ties of classes aside."""
    for ours, det, seg in zip(joint, boxes, maps):
        a, b = ours.pred_instances, det.pred_instances
        if not (torch.equal(a.labels, b.labels)
                and torch.allclose(a.bboxes, b.bboxes, atol=1e-2)
                and torch.allclose(a.scores, b.scores, atol=1e-4)):
            return False
        different = ours.pred_sem_seg.sem_seg != seg.pred_sem_seg.data
        if different.float().mean() > NEAR_TIES:
            return False
    return True


def time_row(options: Namespace, count: int, times: tuple, same: bool,
             figures: dict) -> Row:
    """Row of the times of a batch."""
    floor = floor_of_inference(options.model, options.size)
    ratio, spread = ratio_of(*times)
    conditions = {'same predictions for the same weights': same}
    if options.model == LIGHT:
        conditions[f'light: at most {LIGHT_GOAL}'] = ratio <= LIGHT_GOAL
    return Row(
        f'inference_{count}_{options.model}',
        ratio,
        MARGIN * floor,
        'at most',
        spread,
        f'time of joint inference, batch {count} / of mmdet and mmseg',
        conditions=conditions,
        figures={
            **sizes(options, count), 'floor': round(floor, 3),
            **figures
        },
        times=dict(zip(SIDES, times)))


def memory_row(options: Namespace, count: int, held: Tuple[int, int],
               figures: dict) -> Row:
    """Row of the memory of a batch."""
    ratio = held[0] / held[1]
    return Row(
        f'inference_memory_{count}_{options.model}',
        ratio,
        LIGHT_GOAL if options.model == LIGHT else 1.,
        'at most', (ratio, ratio),
        f'memory of joint inference, batch {count} / of mmdet and mmseg',
        figures={
            **sizes(options, count), 'MiB': {
                side: round(value / 2**20, 1)
                for side, value in zip(SIDES, held)
            },
            **figures
        })
