# Copyright (c) mmbombo contributors.
from typing import Dict, Sequence

import torch.nn.functional as F
from mmdet.utils import ConfigType, OptConfigType
from torch import Tensor, nn

from mmbombo.models.losses.dist_mean import full_precision, ratio_over_ranks
from mmbombo.models.utils import valid_cells
from mmbombo.registry import MODELS
from mmbombo.utils import UserError


class LocalModule(nn.Module):
    """What the part of a network that ends in a map learns, by itself.

    InfoPro's loss of a module: the map shall tell the image, which a decoder
    reads out of it, and the answer, which a small task head reads. What has no
    weight is not built.

    Args:
        in_channels (int): Channels of the map.
        rec_weight (float): Weight of the reconstruction.
        task_weight (float): Weight of the task.
        decoder (dict): Config of the decoder.
        head (dict, optional): Config of the task head.
    """

    def __init__(self, in_channels: int, rec_weight: float, task_weight: float,
                 decoder: ConfigType, head: OptConfigType) -> None:
        super().__init__()
        self.rec_weight = rec_weight
        self.task_weight = task_weight if head else 0.
        if not self.rec_weight and not self.task_weight:
            raise UserError('a local module learns nothing: rec_weight and '
                            'task_weight are 0, or there is no head')
        self.decoder = self.head = None
        if self.rec_weight:
            self.decoder = build(decoder, in_channels)
        if self.task_weight:
            self.head = build(head, in_channels)

    def losses(self, feat: Tensor, images: Tensor,
               samples: Sequence) -> Dict[str, Tensor]:
        """Losses without weights: ``rec`` and ``task``.

        Args:
            feat (Tensor): The map ``(N, C, h, w)``.
            images (Tensor): The images ``(N, 3, H, W)`` in 0 to 1.
            samples (list): Their samples; none if nothing is known of them.
        """
        size, losses = images.shape[-2:], {}
        if self.decoder is not None:
            logits = full_precision(self.decoder(feat, size))
            seen = inside(samples, images).float()
            # a sum needs less memory than the value of each pixel
            total = F.binary_cross_entropy_with_logits(
                logits, images, weight=seen[:, None], reduction='sum')
            losses['rec'] = ratio_over_ranks(total, seen.sum() * 3)
        if self.head is not None:
            losses['task'] = self.head.loss(feat, samples, size)
        return losses

    def total(self, losses: Dict[str, Tensor]) -> Tensor:
        """The sum of losses by their weights."""
        return sum(value * getattr(self, f'{name}_weight')
                   for name, value in losses.items())


def build(cfg: ConfigType, in_channels: int) -> nn.Module:
    """Build a part of ours, also inside a model of another library."""
    return MODELS.build({
        '_scope_': 'mmbombo',
        **cfg, 'in_channels': in_channels
    })


def inside(samples: Sequence, images: Tensor) -> Tensor:
    """Which pixels ``(N, H, W)`` are no padding."""
    size = images.shape[-2:]
    metas = [dict(img_shape=x.get('img_shape', size)) for x in samples]
    if not metas:
        return images.new_ones(len(images), *size, dtype=bool)
    return valid_cells(metas, size, size, images.device)
