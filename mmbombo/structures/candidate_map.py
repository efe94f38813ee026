# Copyright (c) mmbombo contributors.
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmdet.structures import SampleList
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .special_labels import IGNORE_INDEX


class CandidateMap(NamedTuple):
    """Which classes a pseudo label leaves possible at each pixel.

    Attributes:
        numbers (Tensor): ``(N, 1, H, W)`` int64, a row of ``classes``; 255
            where any class is possible.
        classes (Tensor): ``(N, T, C)`` bool, the sets of each image; rows
            without a class are padding.
    """
    numbers: Tensor
    classes: Tensor

    @classmethod
    def from_samples(cls, samples: SampleList,
                     num_classes: int) -> 'CandidateMap':
        """Collect the pseudo masks of N >= 1 samples.

        Values of a ``pseudo_sem_seg`` without ``pseudo_classes`` are class
        ids.
        """
        numbers = torch.stack(
            [x.pseudo_sem_seg.sem_seg.long() for x in samples])
        ids = torch.eye(num_classes, dtype=torch.bool, device=numbers.device)
        tables = [x.get('pseudo_classes', ids) for x in samples]
        classes = pad_sequence(tables, batch_first=True)
        if classes.size(1) == 0:  # no image says anything
            classes = F.pad(classes, (0, 0, 0, 1))
        return cls(numbers, classes)

    @property
    def known(self) -> Tensor:
        """Tensor: ``(N, 1, H, W)`` bool, where not any class is possible."""
        return self.numbers != IGNORE_INDEX

    @property
    def rows(self) -> Tensor:
        """Tensor: ``numbers``, but those of unknown pixels are 0 too."""
        return self.numbers.masked_fill(~self.known, 0)

    def every(self, stride: int) -> 'CandidateMap':
        """Every so many rows and columns, from the middle of each cell."""
        cells = slice(stride // 2, None, stride)
        return self._replace(numbers=self.numbers[..., cells, cells])

    def single_classes(self) -> Tensor:
        """Class ids ``(N, 1, H, W)`` int64 where only one is possible.

        255 elsewhere.
        """
        ids = self.classes.to(torch.uint8).argmax(dim=2)
        ids = ids.masked_fill(self.classes.sum(dim=2) != 1, IGNORE_INDEX)
        return _look_up(ids, self.rows).masked_fill(~self.known, IGNORE_INDEX)

    def allow(self, labels: Tensor) -> Tensor:
        """Whether classes ``(N, 1, H, W)`` int64 are possible where they are.

        Ids that are no class are not.
        """
        num_classes = self.classes.size(2)
        is_class = labels < num_classes
        index = self.rows * num_classes + labels.where(is_class, 0)
        allowed = _look_up(self.classes.flatten(1), index)
        return (allowed | ~self.known) & is_class


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """Entries ``(N, ...)`` of a table ``(N, T)``, image by image."""
    return table.gather(1, index.flatten(1)).view_as(index)
