# Copyright (c) mmbombo contributors.
"""A BoMBo step against naive-all, and the shares of its pseudo labels.

Naive-all runs both heads on all images too, so what is compared is making
pseudo labels and the losses on them. The shares, of a BoMBo step, are of what
is between the outputs of the heads and the pseudo labels: for Mask-for-Box
decoding, NMS, split and merge; for Box-for-Mask the masks that the data
loader's workers have made. They are from further steps: a GPU is waited for
before and after. Predictions are decoded and suppressed as ever; what is made
of them are the objects and wrong boxes, since what an untrained network says
would split and merge nothing. A further row has Box-for-Mask at half
resolution, and another, of a network whose configs are all for smaller data
sets, as few classes as those have.
"""
from argparse import Namespace
from typing import Dict, List

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from .batches import own_batch
from .networks import bombo_losses, build_naive_all, build_ours, make_predict
from .rows import Row, in_turn, ratio_of, timed
from .running import Stopwatch, Training, waiting
from .stock import NUM_CLASSES, sizes

#: Classes of PhotoStamps, for networks that have no config for more.
FEW_CLASSES = dict(mobilenetv2=6)
SHARES = dict(b4m=('pseudo_masks', .01), m4b=('pseudo_boxes', .03))


def run(options: Namespace) -> List[Row]:
    """Time whole steps, then what makes the pseudo labels."""
    batch = own_batch(options)
    naive = Training(build_naive_all(options.model), batch, options.device)
    rows = []
    for predictor in ('self', 'none'):
        bombo = confident_bombo(options, batch, predictor)
        rows.append(
            whole_step(options, bombo, naive, predictor,
                       f"predictor='{predictor}'"))
        rows += shares(options, bombo, predictor)
    coarse = confident_bombo(options, batch, 'self', stride=2)
    rows.append(
        whole_step(options, coarse, naive, 'stride2',
                   "predictor='self' and BoxForMaskLoss(stride=2)"))
    if options.model in FEW_CLASSES:
        rows.append(few_classes(options, FEW_CLASSES[options.model]))
    return rows


def few_classes(options: Namespace, num_classes: int) -> Row:
    """The same comparison, of a network for a smaller data set."""
    batch = own_batch(options, num_classes)
    naive = Training(
        build_naive_all(options.model, num_classes), batch, options.device)
    bombo = confident_bombo(options, batch, 'self', num_classes=num_classes)
    return whole_step(options, bombo, naive, 'few_classes',
                      f"predictor='self', {num_classes} classes")


def whole_step(options: Namespace, bombo: Training, naive: Training, name: str,
               settings: str) -> Row:
    """Time steps of both networks in turn."""
    bombo_ms, naive_ms = in_turn(
        waiting(options.device, bombo), waiting(options.device, naive),
        options.repeats)
    ratio, spread = ratio_of(bombo_ms, naive_ms)
    return Row(
        f'bombo_naive_all_{name}_{options.model}',
        ratio,
        1.05,
        'at most',
        spread,
        f'time of a BoMBo step, {settings} / of a naive-all step',
        figures={
            **sizes(options), 'pseudo boxes of the batch': origins(bombo)
        },
        times=dict(bombo=bombo_ms, naive_all=naive_ms))


def confident_bombo(options: Namespace,
                    batch: dict,
                    predictor: str,
                    stride: int = 1,
                    num_classes: int = NUM_CLASSES) -> Training:
    """A BoMBo network that predicts something, and its training."""
    model = build_ours(options.model, bombo_losses(predictor, stride),
                       num_classes)
    bombo = Training(model, batch, options.device)
    make_predict(model, batch, asked_score(model))
    head = model.task_heads.det
    head.decode = FindsObjects(head, batch, model.weak_losses[1].decode_cfg,
                               options)
    return bombo


class FindsObjects:
    """Decodes as ever, and then hands over what a trained network might say.

    Args:
        head (nn.Module): Task head of detection.
        batch (dict): Images that it will be asked about.
        decode_cfg (dict): Score, and how many predictions of an image.
        options (Namespace): The command's.
    """

    def __init__(self, head: nn.Module, batch: dict, decode_cfg: dict,
                 options: Namespace) -> None:
        self.decode = head.decode
        self.found = {
            sample.sample_idx:
            imprecise(sample, decode_cfg, min(options.size),
                      head.head.num_classes).to(options.device)
            for sample in batch['data_samples']
        }

    def __call__(self, outputs, metas, cfg=None) -> List[InstanceData]:
        """Predictions of each image."""
        self.decode(outputs, metas, cfg)
        return [self.found[meta['sample_idx']] for meta in metas]


def imprecise(sample: DetDataSample, decode_cfg: dict, side: int,
              num_classes: int) -> InstanceData:
    """The objects of a drawn image, not quite, and wrong boxes."""
    rng = np.random.default_rng(sample.sample_idx)
    count = decode_cfg['max_per_img']
    boxes = np.array([x['bbox'] for x in sample.instances], float)
    num_wrong = count - len(boxes)
    corners = rng.uniform(0, .8 * side, (num_wrong, 2))
    extents = rng.uniform(.05, .2, corners.shape) * side
    boxes += rng.normal(0, side / 160, boxes.shape)
    boxes = np.vstack([boxes, np.hstack([corners, corners + extents])])
    labels = [x['bbox_label'] for x in sample.instances]
    labels = np.r_[labels, rng.integers(num_classes, size=num_wrong)]
    scores = rng.uniform(decode_cfg['score_thr'] + .01, 1, count)
    return InstanceData(
        bboxes=torch.from_numpy(boxes).float(),
        scores=torch.from_numpy(scores).float(),
        labels=torch.from_numpy(labels))


def asked_score(model: nn.Module) -> float:
    """Score that predictions must pass for Mask-for-Box."""
    return model.weak_losses[1].decode_cfg['score_thr']


def origins(bombo: Training) -> Dict[str, int]:
    """How many pseudo boxes of a step came from a split, a merge, ..."""
    return {
        key.split('/')[1]: int(value)
        for key, value in bombo().items() if '/num_' in key
    }


def split_and_merged(counts: Dict[str, int]) -> Dict[str, bool]:
    """The condition that the expensive steps had something to do."""
    return {
        'components are split, and merged':
        counts['num_split'] > 0 and counts['num_merged'] > 0
    }


def shares(options: Namespace, bombo: Training, predictor: str) -> List[Row]:
    """Time what makes pseudo labels within steps."""
    counts = origins(bombo)
    watches = {}
    for weak_loss in bombo.model.weak_losses:
        method, _ = SHARES[weak_loss.name]
        watch = Stopwatch(getattr(weak_loss, method), options.device)
        setattr(weak_loss, method, watch)
        watches[weak_loss.name] = watch
    step = waiting(options.device, bombo)
    steps = [timed(step)[0] for _ in range(options.repeats)]
    rows = []
    for name, watch in watches.items():
        method, goal = SHARES[name]
        ratio, spread = ratio_of(watch.times, steps)
        asked = name == 'm4b' and predictor != 'none'
        rows.append(
            Row(f'{name}_share_{predictor}_{options.model}',
                ratio,
                goal,
                'at most',
                spread,
                f"time of {method}, predictor='{predictor}' / of the step",
                conditions=split_and_merged(counts) if asked else {},
                figures={
                    **sizes(options), 'pseudo boxes of the batch': counts
                },
                times={
                    method: watch.times,
                    'step': steps
                }))
    return rows
