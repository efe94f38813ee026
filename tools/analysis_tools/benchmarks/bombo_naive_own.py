# Copyright (c) mmbombo contributors.
"""A BoMBo step against naive-own, where a head sees its own images only.

The goal is 1.05 times the floor, the ratio of multiply-adds. With an EMA
predictor both the further forward pass and the averaging are in the time.
"""
from argparse import Namespace
from typing import List

from mmengine.model import ExponentialMovingAverage

from .batches import own_batch
from .bombo_naive_all import asked_score, confident_bombo, origins
from .networks import build_ours, floor_of_bombo, make_predict
from .rows import Row, in_turn, ratio_of
from .running import Training, waiting
from .stock import sizes

MARGIN = 1.05
#: What the light segmentation head is for, at 320 pixels.
LIGHT_FLOOR = 1.25


def run(options: Namespace) -> List[Row]:
    """Time steps with either predictor."""
    batch = own_batch(options)
    naive = Training(build_ours(options.model), batch, options.device)
    rows = []
    for predictor in ('self', 'ema'):
        bombo = confident_bombo(options, batch, predictor)
        parts = [bombo]
        if predictor == 'ema':
            parts.append(averaging(bombo))
        bombo_ms, naive_ms = in_turn(
            waiting(options.device, *parts), waiting(options.device, naive),
            options.repeats)
        ratio, spread = ratio_of(bombo_ms, naive_ms)
        floor = floor_of_bombo(options.model, options.size, predictor == 'ema')
        rows.append(
            Row(f'bombo_naive_own_{predictor}_{options.model}',
                ratio,
                MARGIN * floor,
                'at most',
                spread,
                f"time of a BoMBo step, predictor='{predictor}' / of a "
                'naive-own step',
                conditions=light_head(options),
                figures={
                    **sizes(options), 'floor': round(floor, 3),
                    'pseudo boxes of the batch': origins(bombo)
                },
                times=dict(bombo=bombo_ms, naive_own=naive_ms)))
    return rows


def averaging(bombo: Training):
    """Give a network its moving average; what updates it after a step."""
    average = ExponentialMovingAverage(bombo.model, update_buffers=True)
    # the first update copies; statistics are others than in training
    average.update_parameters(bombo.model)
    make_predict(average.module.eval(), bombo.batch, asked_score(bombo.model))
    bombo.model.set_teacher('ema', average.module)
    return lambda: average.update_parameters(bombo.model)


def light_head(options: Namespace) -> dict:
    """Whether the light head's floor is what it is for."""
    if options.model != 'paper-light':
        return {}
    name = f'floor at 320 pixels at most {LIGHT_FLOOR}'
    return {name: floor_of_bombo(options.model, (320, 320)) <= LIGHT_FLOOR}
