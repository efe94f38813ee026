# Copyright (c) mmbombo contributors.
"""A joint naive-own step against a step of mmdet and one of mmseg.

The same backbone, neck, heads, weights and images: half of them have boxes,
the other half masks. Either side preprocesses, runs forward and backward, and
steps its optimizer, or optimizers. The libraries' networks are in a process
without mmbombo.
"""
from argparse import Namespace
from typing import List

from .baseline import Baseline
from .batches import for_mmdet, for_mmseg, own_batch
from .networks import build_ours, weights_of
from .rows import Row, alternate, interval_of, ratio_of, require_same, timed
from .running import Training, sum_of_losses, waiting
from .stock import sizes

#: Largest relative difference of the sums of the losses.
TOLERANCE = 1e-4


def run(options: Namespace) -> List[Row]:
    """Compare the losses, then the times."""
    batch = own_batch(options)
    ours = build_ours(options.model).to(options.device)
    with Baseline(options) as stock:
        stock.build(weights_of(ours), for_mmdet(batch), for_mmseg(batch))
        wanted = stock.ask('sum_of_losses')
        difference = abs(sum_of_losses(ours, batch) - wanted)
        same = difference <= TOLERANCE * abs(wanted)
        require_same(same, 'losses')
        joint = waiting(options.device, Training(ours, batch, options.device))
        ours_ms, stock_ms = alternate(lambda: timed(joint)[0],
                                      stock.time('step'), options.repeats)
    ratio, spread = ratio_of(ours_ms, stock_ms)
    low, high = interval_of(ours_ms, stock_ms)
    return [
        Row(f'joint_step_{options.model}',
            ratio,
            1.02,
            'at most',
            spread,
            'time of a joint step / of a step of mmdet and one of mmseg',
            conditions={
                'same losses for the same weights': same,
                'the 95 % interval begins at 1.00 or less': low <= 1.,
                'the 95 % interval ends at 1.02 or less': high <= 1.02
            },
            figures={
                **sizes(options),
                **stock.figures(), '95 % interval of the median ratio':
                (round(low, 4), round(high, 4))
            },
            times=dict(ours=ours_ms, mmdet_and_mmseg=stock_ms))
    ]
