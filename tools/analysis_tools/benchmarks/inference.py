# Copyright (c) mmbombo contributors.
"""Boxes and mask from one network against one network for each.

The same backbone, neck, heads, weights and images. Memory is the weights, both
models resident, and the largest activations.
"""
from argparse import Namespace
from typing import List

import torch

from mmbombo.structures import BBOX, SEM_SEG
from .batches import draw, for_mmdet, for_mmseg, fresh
from .networks import (build_ours, build_stock, floor_of_inference,
                       make_predict, weights_in_bytes)
from .rows import Row, in_turn, ratio_of
from .running import peak_memory, waiting
from .stock import sizes

MARGIN = 1.03
BATCHES = (1, 16)
#: Network that two would not be trained for, and its goal.
LIGHT, LIGHT_GOAL = 'mobilenetv2', .60
SIDES = ('ours', 'mmdet_and_mmseg')


def run(options: Namespace) -> List[Row]:
    """Time both batches, then look at the memory."""
    rows = []
    floor = floor_of_inference(options.model, options.size)
    for count in BATCHES:
        joint, separate, same, resident = both_sides(options, count)
        rows.append(
            time_row(options, count, floor,
                     in_turn(joint, separate, options.repeats), same))
        held = memory_held(options.device, (joint, separate), resident)
        rows.append(memory_row(options, count, held))
    return rows


def both_sides(options: Namespace, count: int):
    """Functions that predict, whether they agree, and bytes of weights."""
    batch = draw(options, [(BBOX, SEM_SEG)] * count)
    ours = build_ours(options.model).to(options.device).eval()
    make_predict(ours, batch, ours.task_heads.det.test_cfg.score_thr)
    det, seg = (
        model.to(options.device).eval()
        for model in build_stock(options.model, ours))
    boxes, maps = for_mmdet(batch), for_mmseg(batch)
    joint = waiting(options.device, lambda: ours.test_step(fresh(batch)))
    separate = waiting(
        options.device, lambda:
        (det.test_step(fresh(boxes)), seg.test_step(fresh(maps))))
    resident = (weights_in_bytes(ours), weights_in_bytes(det, seg))
    return joint, separate, same_predictions(joint(), *separate()), resident


def same_predictions(joint: list, boxes: list, maps: list) -> bool:
    """Whether both sides predict the same."""
    for ours, det, seg in zip(joint, boxes, maps):
        a, b = ours.pred_instances.bboxes, det.pred_instances.bboxes
        if a.shape != b.shape or not torch.allclose(a, b, atol=1e-2):
            return False
        if not torch.equal(ours.pred_sem_seg.sem_seg, seg.pred_sem_seg.data):
            return False
    return True


def time_row(options: Namespace, count: int, floor: float, times: tuple,
             same: bool) -> Row:
    """Row of the times of a batch."""
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
            **sizes(options, count), 'floor': round(floor, 3)
        },
        times=dict(zip(SIDES, times)))


def memory_held(device: str, sides: tuple, resident: tuple) -> List[int]:
    """Bytes of either side at its peak.

    A GPU holds all three networks here, so that the weights of the other side
    are taken off.
    """
    held = []
    for side, weights in zip(sides, resident):
        peak = peak_memory(side, device, weights)
        if torch.device(device).type == 'cuda':
            peak -= sum(resident) - weights
        held.append(peak)
    return held


def memory_row(options: Namespace, count: int, held: List[int]) -> Row:
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
            }
        })
