# Copyright (c) mmbombo contributors.
"""Soft non-maximum suppression without compiled operators."""
import numpy as np
import torch
from torch import Tensor

NAIVE, LINEAR, GAUSSIAN = range(3)


def softnms(boxes: Tensor, scores: Tensor, dets: Tensor, iou_threshold: float,
            sigma: float, min_score: float, method: int,
            offset: int) -> Tensor:
    """Lower the scores of boxes (N, 4) that a better box overlaps; indices
    (K, ) of the kept boxes, best first, which go to ``dets`` with their
    scores.

    MMCV does this on the CPU whatever the device. The score is lowered from
    ``iou_threshold`` on, but by the Gaussian of width ``sigma`` always; boxes
    below ``min_score`` are dropped, but never the best. ``method`` is 0 for
    naive, 1 for linear, 2 for Gaussian; ``offset`` as of NMS.
    """
    left = np.concatenate((boxes.numpy(), scores.numpy()[:, None]),
                          axis=1).astype(np.float32)
    indices = np.arange(len(left))
    kept = []
    while len(left) > 0:
        best = left[:, 4].argmax()
        dets[len(kept)] = torch.from_numpy(left[best])
        kept.append(indices[best])
        overlaps = _overlaps(left[best], left, offset)
        left[:, 4] *= _weights(overlaps, iou_threshold, sigma, method)
        stays = left[:, 4] >= min_score
        stays[best] = False
        left, indices = left[stays], indices[stays]
    return torch.tensor(kept, dtype=torch.long)


def _weights(overlaps: np.ndarray, iou_threshold: float, sigma: float,
             method: int) -> np.ndarray:
    if method == GAUSSIAN:
        return np.exp(-overlaps**2 / np.float32(sigma))
    lowered = 1 - overlaps if method == LINEAR else 0
    return np.where(overlaps >= np.float32(iou_threshold), lowered,
                    np.float32(1))


def _overlaps(box: np.ndarray, boxes: np.ndarray, offset: int) -> np.ndarray:
    """IoU of a box of shape (5, ) with boxes of shape (N, 5)."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:4], boxes[:, 2:4])
    inter = (high - low + offset).clip(0).prod(axis=1)
    areas = (boxes[:, 2:4] - boxes[:, :2] + offset).prod(axis=1)
    area = (box[2:4] - box[:2] + offset).prod()
    union = area + areas - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
