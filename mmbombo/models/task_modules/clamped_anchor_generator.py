# Copyright (c) mmbombo contributors.
from typing import List, Tuple, Union

import torch
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from torch import Tensor

from mmbombo.registry import TASK_UTILS


@TASK_UTILS.register_module()
class ClampedAnchorGenerator(AnchorGenerator):
    """Anchors that are never wider or higher than the input.

    Otherwise :class:`mmdet.AnchorGenerator`, which gives BoMBo's anchors with
    ``strides=[8, 16, 32, 64]``, ``octave_base_scale=3`` (24 pixels on the
    finest level), ``scales_per_octave=2``, ``ratios=[1.0, 0.5, 2.0]``,
    ``scale_major=False`` and ``center_offset=0.5``: six per cell. The paper
    holds anchors as center, width and height relative to the input, each
    number clamped to [0, 1]: centers stay, and extents stop at the input's.
    """

    def grid_priors(self,
                    featmap_sizes: List[Tuple[int, int]],
                    dtype: torch.dtype = torch.float32,
                    device: Union[str, torch.device] = 'cuda') -> List[Tensor]:
        """Anchors ``(H_l * W_l * A, 4)`` of all levels, cells in rows.

        The size of the first level times its stride is that of the input.
        """
        levels = super().grid_priors(featmap_sizes, dtype, device)
        height, width = featmap_sizes[0]
        limits = (width * self.strides[0][0], height * self.strides[0][1])
        return [clamp_extents(anchors, limits) for anchors in levels]


def clamp_extents(boxes: Tensor, limits: Tuple[int, int]) -> Tensor:
    """Shrink boxes ``(K, 4)`` about their centers to at most ``limits``."""
    excess = [(boxes[:, i + 2] - boxes[:, i] - limits[i]).clamp(min=0) / 2
              for i in range(2)]
    margin = torch.stack(excess, dim=1)
    return boxes + torch.cat([margin, -margin], dim=1)
