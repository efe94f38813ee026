# Copyright (c) mmbombo contributors.
from functools import partial
from typing import Dict, List, Optional, Sequence

import torch
from mmdet.utils import ConfigType, OptMultiConfig
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmbombo.models.layers.freeform_roi_pool import FreeformRoIPool, bin_masks
from mmbombo.models.layers.region_to_pixel import (paint_superpixels,
                                                   region_to_superpixel)
from mmbombo.registry import MODELS
from mmbombo.structures.regions import Regions
from mmbombo.utils import UserError


@MODELS.register_module()
class RegionHead(BaseModule):
    """The head of `E2S2 <https://arxiv.org/abs/1607.07671>`_.

    Pools features in regions of any shape, scores the regions with three
    linear layers, gives each superpixel the best scores of the regions that
    contain it, each pixel those of its superpixel, and learns from pixels.

    A pixel that no region contains has the same score for all classes, and
    teaches nothing. In prediction the whole image is a region, too.

    Args:
        num_classes (int): Number of classes.
        in_channels (int): Channels of the map that is pooled from.
        stride (int): Pixels of the image per cell of the map.
        in_index (int): Which map. Defaults to -1.
        fc_channels (int): Width of the first two layers, of which 'separate'
            has twice as many. Defaults to 4096.
        pooling (str): Mode of :class:`FreeformRoIPool`. Of two groups of
            channels each has a first layer of its own, 'grouped' (published as
            tied) one of half the width. Defaults to 'separate'.
        output_size (int): Rows and columns of pooled bins. Defaults to 7.
        decay (float): See :func:`region_to_superpixel`. Defaults to 0, the
            maximum.
        dropout_ratio (float): Behind the first two layers. Defaults to 0.5.
        chunk_size (int): Regions whose features are in memory at a time, 1.5
            GB for the default of 2,000 with 512 channels; if an image has
            more, training computes them again for the gradient.
        loss_decode (dict): Defaults to :class:`InverseFrequencyCELoss`.
        vgg16 (str, optional): Path or URL of torchvision's VGG16, from which
            the first two layers start; either half of 'separate' from all of
            it, so that what the second gives doubles, as published. Defaults
            to None.
        init_cfg (dict): Initialization config, of the last layer.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        stride: int,
        in_index: int = -1,
        fc_channels: int = 4096,
        pooling: str = 'separate',
        output_size: int = 7,
        decay: float = 0.,
        dropout_ratio: float = 0.5,
        chunk_size: int = 2000,
        loss_decode: ConfigType = dict(type='InverseFrequencyCELoss'),
        vgg16: Optional[str] = None,
        init_cfg: OptMultiConfig = dict(
            type='Normal', std=0.01, override=dict(name='fc8'))
    ) -> None:
        super().__init__(init_cfg)
        parts = 2 if pooling in ('grouped', 'separate') else 1
        width = 2 * fc_channels if pooling == 'separate' else fc_channels
        self.num_classes = self.out_channels = num_classes
        self.in_index = in_index
        self.pool = FreeformRoIPool(output_size, stride, pooling)
        self.decay = decay
        self.chunk_size = chunk_size
        self.vgg16 = vgg16
        self.fc6 = nn.ModuleList(
            nn.Linear(in_channels * output_size**2, width // parts)
            for _ in range(parts))
        self.fc7 = nn.Linear(width, width)
        self.fc8 = nn.Linear(width, num_classes)
        self.dropout = nn.Dropout(dropout_ratio)
        self.loss_decode = MODELS.build(loss_decode)

    def init_weights(self) -> None:
        """Initialize, from VGG16 if that is given."""
        super().init_weights()
        if self.vgg16 is None:
            return
        weights = CheckpointLoader.load_checkpoint(
            self.vgg16, map_location='cpu')
        for name in ('weight', 'bias'):
            first = weights[f'classifier.0.{name}']
            second = weights[f'classifier.3.{name}']
            repeats = self.fc7.out_features // len(second)
            second = second.repeat((repeats, ) * second.ndim)
            firsts = [first] * repeats
            if len(firsts) < len(self.fc6):
                firsts = first.chunk(len(self.fc6))
            for layer, values in zip((*self.fc6, self.fc7), (*firsts, second)):
                getattr(layer, name).data.copy_(values)

    def forward(self,
                feats: Sequence[Tensor],
                data_samples: Optional[list] = None,
                whole_image: bool = True) -> List[Tensor]:
        """Logits of each image's pixels.

        Args:
            feats (Sequence[Tensor]): Maps ``(N, C, h, w)``.
            data_samples (list): N samples with ``regions``.
            whole_image (bool): Whether the whole image is a region, too.
                Defaults to True.

        Returns:
            list[Tensor]: ``(num_classes, H, W)``, of the size of each image
            without padding.
        """
        logits = []
        stride = self.pool.stride
        for feat, sample in zip(feats[self.in_index], data_samples or [{}]):
            regions = regions_of(sample)
            padded = sample.get('pad_shape', ())
            if any(
                    abs(x * stride - y) >= stride
                    for x, y in zip(feat.shape[1:], padded)):
                raise UserError(
                    f'RegionHead: stride={stride} is not that of its map, '
                    f'which has {tuple(feat.shape[1:])} cells for an image of '
                    f'{tuple(padded)} pixels')
            # not what pads the image to the batch
            rows, columns = (-(-x // stride)
                             for x in regions.superpixels.shape)
            feat = feat[:, :rows, :columns]
            if whole_image:
                regions = with_whole_image(regions)
            values = region_to_superpixel(
                self.score(feat, regions), regions.pairs,
                regions.num_superpixels, self.decay)
            logits.append(paint_superpixels(values, regions.superpixels))
        return logits

    def loss(self, feats: Sequence[Tensor],
             data_samples: list) -> Dict[str, Tensor]:
        """Mean of the images' losses, from ``gt_sem_seg``."""
        losses = []
        for logits, sample in zip(
                self(feats, data_samples, whole_image=False), data_samples):
            ids = sample.gt_sem_seg.data[:, :logits.size(1), :logits.size(2)]
            losses.append(self.loss_decode(logits[None], ids))
        return {self.loss_decode.loss_name: torch.stack(losses).mean()}

    def score(self, feat: Tensor, regions: Regions) -> Tensor:
        """Scores ``(R, num_classes)`` of regions of a map ``(C, h, w)``."""
        chunks = [regions.bboxes]
        if self.pool.mode != 'box':
            chunks.append(bin_masks(regions, self.pool.output_size))
        score = self._score
        if len(regions) > self.chunk_size and torch.is_grad_enabled():
            score = partial(checkpoint, score, use_reentrant=False)
        chunks = (x.split(self.chunk_size) for x in chunks)
        return torch.cat([score(feat, *chunk) for chunk in zip(*chunks)])

    def _score(self, feat: Tensor, *chunk: Tensor) -> Tensor:
        pooled = self.pool(feat, *chunk).chunk(len(self.fc6), dim=1)
        x = torch.cat([fc(x.flatten(1)) for fc, x in zip(self.fc6, pooled)], 1)
        x = self.dropout(x.relu())
        x = self.dropout(self.fc7(x).relu())
        return self.fc8(x)


def regions_of(sample) -> Regions:
    """The regions of a sample, if they are there and of its image."""
    if 'regions' not in sample:
        raise UserError(f"{sample.get('img_path', 'an image')} has no regions:"
                        ' its pipeline must load and pack them')
    size = tuple(sample.regions.superpixels.shape)
    if size != tuple(sample.img_shape[:2]):
        raise UserError(
            f"the regions of {sample.get('img_path')} are of an image of "
            f'{size} pixels, but the image has {tuple(sample.img_shape[:2])}')
    return sample.regions


def with_whole_image(regions: Regions) -> Regions:
    """Add the region of all superpixels, if none is that; what is in none
    becomes one more."""
    height, width = regions.superpixels.shape
    members = torch.bincount(regions.pairs[0])
    if (members == regions.num_superpixels).any() and (regions.superpixels
                                                       >= 0).all():
        return regions
    number = regions.num_superpixels + 1
    everything = torch.arange(number, device=regions.pairs.device)
    everything = torch.stack(
        [torch.full_like(everything, len(regions)), everything])
    whole = regions.bboxes.new_tensor([[0, 0, width, height]])
    return Regions(
        bboxes=torch.cat([regions.bboxes, whole]),
        pairs=torch.cat([regions.pairs, everything], dim=1),
        superpixels=regions.superpixels.remainder(number))
