# Copyright (c) mmbombo contributors.
"""Non-maximum suppression without compiled operators."""
import numpy as np
import torch
from torch import Tensor

from .backend import torchvision_ops

#: How many boxes are compared with all that are left at once: what the cache
#: of a CPU holds; an accelerator waits for the host at each step.
CPU_BLOCK = 128
ACCELERATOR_BLOCK = 1024


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float,
        offset: int) -> Tensor:
    """Indices (K, ) of the boxes that no better kept box overlaps, best first.

    Boxes (N, 4) are corners; a width or height is their difference and
    ``offset``. A higher IoU than the threshold suppresses.
    """
    boxes = boxes.float()
    library = torchvision_ops()
    if library is not None:
        corners = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1)
        # compared as float32, as MMCV does
        return library.nms(corners, scores.float(),
                           float(np.float32(iou_threshold)))
    # the sort that MMCV uses, which decides about ties
    left = scores.sort(descending=True).indices
    boxes = boxes[left].T.contiguous()
    size = CPU_BLOCK if boxes.device.type == 'cpu' else ACCELERATOR_BLOCK
    kept = [left[:0]]
    while left.numel() > 0:
        best = boxes[:, :size]
        over = _overlaps(best, best, offset) > iou_threshold
        is_kept = _greedy(over.triu(diagonal=1))
        kept.append(left[:size][is_kept])
        boxes, left = boxes[:, size:], left[size:]
        over = _overlaps(best[:, is_kept], boxes, offset) > iou_threshold
        free = ~over.any(dim=0)
        boxes, left = boxes[:, free], left[free]
    return torch.cat(kept)


def _greedy(over: Tensor) -> Tensor:
    """Mask (N, ) of the kept ones of few boxes, of which i would suppress the
    worse box j."""
    # Each round settles at least the next link of a chain of suppressed
    # suppressors; chains are short.
    is_kept = ~over.any(dim=0)
    while True:
        settled = ~(over & is_kept[:, None]).any(dim=0)
        if torch.equal(settled, is_kept):
            return is_kept
        is_kept = settled


def _overlaps(one: Tensor, other: Tensor, offset: int) -> Tensor:
    """IoU (N, M) of corners (4, N) and (4, M), rounded as MMCV rounds it."""
    one = one[..., None]
    width = torch.minimum(one[2], other[2]).sub_(
        torch.maximum(one[0], other[0])).add_(offset).clamp_(min=0)
    height = torch.minimum(one[3], other[3]).sub_(
        torch.maximum(one[1], other[1])).add_(offset).clamp_(min=0)
    inter = width.mul_(height)
    return inter / (_areas(one, offset) + _areas(other, offset)).sub_(inter)


def _areas(boxes: Tensor, offset: int) -> Tensor:
    return (boxes[2] - boxes[0] + offset) * (boxes[3] - boxes[1] + offset)
