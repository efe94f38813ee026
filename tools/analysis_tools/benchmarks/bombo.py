# Copyright (c) mmbombo contributors.
"""A BoMBo step against naive steps: time, memory, and what its boxes take."""
from argparse import Namespace
from typing import Iterator

import numpy as np
import torch
from mmengine.structures import InstanceData

from .networks import (Training, build_naive_all, build_ours, floors,
                       let_predict, own_batch, peak_memory, weights_in_bytes)
from .rows import compare, make_row, milliseconds
from .stock import NUM_CLASSES


def bombo_naive_own(options: Namespace) -> Iterator[dict]:
    """Naive-own: a head runs on its own images only."""
    floor = floors(options)['bombo']
    yield compare(
        options,
        f'bombo_naive_own_{options.model}',
        'time of a BoMBo step / of a naive step, each head on its own of '
        f'{2 * options.batch} images, floor {floor:.3f}',
        1.05 * floor,
        bombo=bombo_training(options),
        naive=Training(build_ours(options), own_batch(options)))


def bombo_naive_all(options: Namespace) -> Iterator[dict]:
    """Naive-all: both heads run on all images, as in BoMBo."""
    yield compare(
        options,
        f'bombo_naive_all_{options.model}',
        'time of a BoMBo step / of a naive step, both heads on all of '
        f'{2 * options.batch} images',
        1.05,
        bombo=bombo_training(options),
        naive=Training(build_naive_all(options), own_batch(options)))


def training_memory(options: Namespace) -> Iterator[dict]:
    """Weights, what the optimizer keeps, gradients and activations."""
    held = []
    naive_all = Training(build_naive_all(options), own_batch(options))
    for training in (bombo_training(options), naive_all):
        training()
        states = training.optim.optimizer.state.values()
        kept = sum(x.nbytes for state in states for x in state.values())
        kept += weights_in_bytes(training.model)
        held.append(peak_memory(training, options.device, kept))
    bombo, naive = (f'{x / 2**20:.1f} MiB' for x in held)
    text = (f'peak memory of a BoMBo step, {bombo} / of a naive step, both '
            f'heads on all of {2 * options.batch} images, {naive}')
    yield make_row(f'training_memory_{options.model}', text, 1.05,
                   [held[0] / held[1]])


def split_merge(options: Namespace) -> Iterator[dict]:
    """From the outputs of the head to the pseudo boxes, as part of a step."""
    bombo = bombo_training(options)
    log = bombo()
    if not (log['m4b/num_split'] and log['m4b/num_merged']):
        raise RuntimeError('nothing is split, or merged')
    m4b = bombo.model.weak_losses[1]
    make, spent = m4b.pseudo_boxes, []

    def pseudo_boxes(*args):
        found = []
        spent.append(
            milliseconds(lambda: found.append(make(*args)), options.device))
        return found[0]

    m4b.pseudo_boxes = pseudo_boxes
    steps = [
        milliseconds(bombo, options.device) for _ in range(options.repeats)
    ]
    text = ('time of decoding, NMS, split and merge / of a BoMBo step of '
            f'{2 * options.batch} images')
    yield make_row(f'split_merge_{options.model}', text, .03,
                   np.divide(spent, steps),
                   (('boxes', spent), ('step', steps)))


def bombo_training(options: Namespace) -> Training:
    """BoMBo, and its training. It decodes as ever, and is then handed what a
    trained network might say: an untrained one splits and merges nothing."""
    losses = [dict(type='BoxForMaskLoss'), dict(type='MaskForBoxLoss')]
    bombo = Training(build_ours(options, losses), own_batch(options))
    head, m4b = bombo.model.task_heads.det, bombo.model.weak_losses[1]
    let_predict(bombo.model, bombo.batch, m4b.decode_cfg['score_thr'])
    objects = bombo.batch['data_samples'][-1].components
    found = imprecise(objects, m4b.decode_cfg['max_per_img'], options.size)
    decode = head.decode

    def decode_objects(task, outputs, metas, *cfg) -> list:
        decode(task, outputs, metas, *cfg)
        return [found.to(options.device)] * len(metas)

    head.decode = decode_objects
    return bombo


def imprecise(objects: InstanceData, count: int, side: int) -> InstanceData:
    """The first two objects as one, halves of the others, and wrong boxes."""
    boxes, generator = objects.bboxes, torch.Generator().manual_seed(0)
    both = torch.cat([boxes[:1, :2], boxes[1:2, 2:]], 1)
    left, right = boxes[2:].clone(), boxes[2:].clone()
    left[:, 2] = right[:, 0] = boxes[2:, ::2].mean(1)
    corners = torch.rand(count - 5, 2, generator=generator) * .8 * side
    wrong = torch.cat([corners, corners + .1 * side], 1)
    labels = torch.full((count, ), NUM_CLASSES - 1)
    labels[:5] = objects.labels[[0, 2, 3, 2, 3]] - 1
    return InstanceData(
        bboxes=torch.cat([both, left, right, wrong]),
        labels=labels,
        scores=torch.linspace(1, .5, count))
