# Copyright (c) mmbombo contributors.
from torch import Tensor


def bilinear(maps: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sample maps (B, C, H, W) at rows and columns (B, P) between their
    pixels, to (B, C, P); outside of them they are zero.

    ``grid_sample`` would do, but rescales positions: at a whole pixel, where
    the derivative by the position jumps, it rounds to either side.
    """
    channels, height, width = maps.shape[1:]
    pixels = maps.flatten(2)
    top, left = y.floor(), x.floor()
    # At -1 sharp the value is zero, and for MMCV so is the derivative.
    near = (y > -1) & (x > -1)
    samples = 0
    for row, row_weight in ((top, top + 1 - y), (top + 1, y - top)):
        for column, weight in ((left, left + 1 - x), (left + 1, x - left)):
            inside = (
                near & (row >= 0) & (row < height) & (column >= 0) &
                (column < width))
            index = (
                row.clamp(0, height - 1).long() * width +
                column.clamp(0, width - 1).long())
            values = pixels.gather(2, index[:, None].expand(-1, channels, -1))
            samples = samples + values * (row_weight * weight * inside)[:,
                                                                        None]
    return samples
