# Copyright (c) mmbombo contributors.
"""A joint naive-own step against a step of mmdet and one of mmseg.

The same backbone, neck, heads, weights and images: half of them have boxes,
the other half masks. Either side preprocesses, runs forward and backward, and
steps its optimizer, or optimizers.
"""
from argparse import Namespace
from typing import List

from .batches import for_mmdet, for_mmseg, fresh, own_batch
from .networks import build_ours, build_stock, same_losses
from .rows import Row, in_turn, ratio_of
from .running import Training, waiting
from .stock import sizes


def run(options: Namespace) -> List[Row]:
    """Compare the losses, then the times."""
    batch = own_batch(options)
    batches = for_mmdet(batch), for_mmseg(batch)
    ours = build_ours(options.model)
    stock = build_stock(options.model, ours)
    same = same_losses(options, ours, fresh(batch),
                       [(model, fresh(data))
                        for model, data in zip(stock, batches)])
    joint = Training(ours, batch, options.device)
    det, seg = (Training(model, data, options.device)
                for model, data in zip(stock, batches))
    ours_ms, stock_ms = in_turn(
        waiting(options.device, joint), waiting(options.device, det, seg),
        options.repeats)
    ratio, spread = ratio_of(ours_ms, stock_ms)
    return [
        Row(f'joint_step_{options.model}',
            ratio,
            1.02,
            'at most',
            spread,
            'time of a joint step / of a step of mmdet and one of mmseg',
            conditions={
                'same losses for the same weights': same,
                'the spread begins at 1.00 or less': spread[0] <= 1.,
                'the spread ends at 1.02 or less': spread[1] <= 1.02
            },
            figures=sizes(options),
            times=dict(ours=ours_ms, mmdet_and_mmseg=stock_ms))
    ]
