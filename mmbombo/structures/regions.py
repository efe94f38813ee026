# Copyright (c) mmbombo contributors.
"""The annotation kind ``regions``: sets of superpixels of an image.

They say nothing of classes: a head classifies them, or their boxes.
"""
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from .annotation_kinds import (ITSELF, AnnotationKind, SampleField,
                               register_kind)

REGIONS = register_kind(
    AnnotationKind(
        'regions',
        task='',
        info_key='',
        fields=(SampleField('regions', ITSELF), ))).name


class Regions(BaseDataElement):
    """R regions of an image, of which each is some of its S superpixels.

    In a sample it is ``regions``, in pixels of the network's input before it
    is padded to a batch. What is ragged stays so: nothing is padded.

    Attributes:
        bboxes (Tensor): ``(R, 4)`` float32, x1, y1, x2, y2.
        pairs (Tensor): ``(2, K)`` int64, a region and a superpixel that it
            holds; unique, and sorted by region, then superpixel.
        superpixels (Tensor): ``(H, W)`` int64, the superpixel of each pixel,
            -1 where there is none.
    """

    def __len__(self) -> int:
        return len(self.bboxes)

    @property
    def num_superpixels(self) -> int:
        """int: S, one more than the highest number in use."""
        if 'superpixel_count' not in self:  # it costs a wait for the device
            numbers = torch.cat([self.superpixels.ravel(), self.pairs[1]])
            count = 1 + int(numbers.max()) if len(numbers) else 0
            self.set_metainfo(dict(superpixel_count=count))
        return self.superpixel_count

    def resized(self, scale: float) -> 'Regions':
        """The regions of an image that is scaled, by nearest pixels."""
        rows, columns = (
            _nearest(size, round(size * scale), self.superpixels.device)
            for size in self.superpixels.shape)
        resized = self.new()
        resized.bboxes = self.bboxes * scale
        resized.superpixels = self.superpixels[rows[:, None], columns]
        return resized


def _nearest(old: int, new: int, device: torch.device) -> Tensor:
    """Of new pixels, the old one at the center of each."""
    index = torch.arange(new, device=device)
    return (2 * index + 1) * old // (2 * new)
