# Copyright (c) mmbombo contributors.
"""Where the cells of feature maps lie in the image."""
from typing import Sequence, Tuple

import torch
from torch import Tensor


def grid_points(size: Sequence[int], input_size: Sequence[int],
                device: torch.device) -> Tuple[Tensor, Tensor]:
    """Centers of the cells of a map.

    Args:
        size (Sequence[int]): Height and width of the map in cells.
        input_size (Sequence[int]): Height and width of the input in pixels.
        device (torch.device): Where the result is needed.

    Returns:
        tuple[Tensor, Tensor]: y ``(H, )`` of the rows and x ``(W, )`` of the
        columns, in pixels.
    """
    ys, xs = ((torch.arange(cells, device=device) + 0.5) * pixels / cells
              for cells, pixels in zip(size, input_size))
    return ys, xs


def prior_offset(prior_generator) -> float:
    """Where MMDetection's priors lie in their cells, in strides.

    Args:
        prior_generator (AnchorGenerator | MlvlPointGenerator): Of a head.
    """
    if hasattr(prior_generator, 'center_offset'):  # anchors
        return prior_generator.center_offset
    return prior_generator.offset  # points
