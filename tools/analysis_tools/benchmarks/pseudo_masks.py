# Copyright (c) mmbombo contributors.
"""GrabCut of a box against plain cv2.grabCut on the whole image.

On training images of PhotoStamps that no option was chosen on. Both see the
same boxes, one after the other; the IoU is that of the foreground and the
visible part of the object, in each box.
"""
from argparse import Namespace
from typing import List

import cv2
import numpy as np

from mmbombo.weak_labels.grabcut import grabcut_foreground, window
from .photo_stamps import read_samples
from .rows import Row, ratio_of, timed

#: OpenCV's own examples take 5 iterations.
PLAIN_ITERATIONS = 5
#: A plain foreground that is a smaller share of its box is a failure.
MIN_FILL = 0.1


def plain_grabcut(image: np.ndarray, rect: np.ndarray) -> np.ndarray:
    """GrabCut as its documentation shows it.

    Args:
        image (np.ndarray): (H, W, 3) uint8.
        rect (np.ndarray): (4,) int x1, y1, x2, y2.

    Returns:
        np.ndarray: (h, w) bool foreground, size of the box.
    """
    x1, y1, x2, y2 = (int(v) for v in rect)
    trimap = np.zeros(image.shape[:2], dtype=np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(image, trimap, (x1, y1, x2 - x1, y2 - y1), np.zeros((1, 65)),
                np.zeros((1, 65)), PLAIN_ITERATIONS, cv2.GC_INIT_WITH_RECT)
    return (trimap[window(rect)] & 1) == 1


def run(options: Namespace) -> List[Row]:
    """Time both, and compare both with the true masks."""
    samples = read_samples(options.data, options.images)
    times = dict(plain=[], ours=[])
    ious = dict(plain=[], plain_or_box=[], ours=[])
    for sample in samples:
        spent = dict(plain=0., ours=0.)
        for number, rect in enumerate(sample.boxes.astype(int), start=1):
            view = sample.objects[window(rect)]
            truth, known = view == number, view != 255
            plain_ms, plain = timed(plain_grabcut, sample.image, rect)
            ours_ms, ours = timed(grabcut_foreground, sample.image, rect)
            spent['plain'] += plain_ms
            spent['ours'] += ours_ms
            rescued = plain if plain.mean() >= MIN_FILL else plain | True
            for key, found in (('plain', plain), ('plain_or_box', rescued),
                               ('ours', ours)):
                ious[key].append(_iou(found & known, truth))
        if len(sample.boxes):
            for side in times:
                times[side].append(spent[side] / len(sample.boxes))

    ratio, spread = ratio_of(times['plain'], times['ours'])
    gain = np.subtract(ious['ours'], ious['plain_or_box'])
    means = {key: float(np.mean(values)) for key, values in ious.items()}
    return [
        Row('pseudo_masks',
            ratio,
            8.,
            'at least',
            spread,
            'plain time / our time per box, by image',
            conditions={
                'IoU not below plain': means['ours'] >= means['plain'],
                'nor below plain with failures replaced by the box':
                means['ours'] >= means['plain_or_box']
            },
            figures={
                'images, boxes': (len(times['ours']), len(gain)),
                'median image size':
                np.median([s.image.shape[:2] for s in samples], 0).tolist(),
                'IoU': {key: round(value, 4)
                        for key, value in means.items()},
                'IoU gain over plain_or_box, standard error':
                (round(float(gain.mean()), 4),
                 round(float(gain.std() / len(gain)**.5), 4)),
                'total time ratio':
                round(sum(times['plain']) / sum(times['ours']), 2)
            },
            times=times)
    ]


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / max(1, (found | truth).sum()))
