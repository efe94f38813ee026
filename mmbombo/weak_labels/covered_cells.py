# Copyright (c) mmbombo contributors.
"""Which cells of a grid boxes cover: those whose center lies in the box.

The left and top edges belong to a box, the right and bottom ones do not.
"""
from typing import Tuple

import torch
from torch import Tensor


def covered_lines(boxes: Tensor, xs: Tensor,
                  ys: Tensor) -> Tuple[Tensor, Tensor]:
    """The columns ``(N, K, W)`` and the rows ``(N, K, H)`` that lie in each
    box ``(N, K, 4)``, by their centers ``xs`` and ``ys`` in pixels."""
    x1, y1, x2, y2 = boxes[..., None].unbind(dim=2)
    return (xs >= x1) & (xs < x2), (ys >= y1) & (ys < y2)


def covered_cells(boxes: Tensor, classes: Tensor, xs: Tensor,
                  ys: Tensor) -> Tensor:
    """The cells ``(N, C, H, W)`` that boxes ``(N, K, 4)`` of each class
    ``(N, K, C)`` cover, by the cells' centers ``xs`` and ``ys`` in pixels."""
    in_x, in_y = covered_lines(boxes, xs, ys)
    cells = (in_y[..., :, None] & in_x[..., None, :]).flatten(2)
    covered = torch.bmm(classes.transpose(1, 2).float(), cells.float()) > 0
    return covered.unflatten(2, (len(ys), len(xs)))


def covered_pixels(boxes: Tensor, size: Tuple[int, int]) -> Tensor:
    """The pixels ``(N, H, W)`` of images of a size (height, width) that any
    box ``(N, K, 4)`` covers; boxes may be empty."""
    in_x, in_y = covered_lines(boxes, *pixel_centers(size, boxes.device))
    return torch.bmm(in_y.mT.float(), in_x.float()) > 0


def pixel_centers(size: Tuple[int, int],
                  device: torch.device) -> Tuple[Tensor, Tensor]:
    """Centers of the columns ``(W, )`` and of the rows ``(H, )``."""
    ys, xs = (torch.arange(length, device=device) + 0.5 for length in size)
    return xs, ys
