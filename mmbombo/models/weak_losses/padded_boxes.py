# Copyright (c) mmbombo contributors.
from typing import NamedTuple

import torch
from mmdet.structures import SampleList
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmbombo.models.utils import grid_points
from mmbombo.structures import ClassMap
from mmbombo.weak_labels import covered_cells


class PaddedBoxes(NamedTuple):
    """The boxes of N images in K slots, those to be ignored included."""
    #: ``(N, K, 4)`` in input pixels; empty slots are empty boxes
    boxes: Tensor
    labels: Tensor  #: ``(N, K)``, any of an unlisted category
    #: ``(N, K)`` bool: a box that tells where an object of its class is; not a
    #: difficult one, not one of a class that no segmentation class shows, nor
    #: of an unlisted category
    certain: Tensor
    #: ``(N, K)`` bool: the box touches the left or right border of its image,
    #: beyond which its object may go on
    cut_across: Tensor
    cut_along: Tensor  #: ``(N, K)`` bool: the top or bottom border

    @classmethod
    def from_samples(cls, samples: SampleList,
                     class_map: ClassMap) -> 'PaddedBoxes':
        """Collect the boxes of N >= 1 annotated samples."""
        columns = zip(*(_columns(sample) for sample in samples))
        boxes, labels, certain, across, along = (
            pad_sequence(column, batch_first=True) for column in columns)
        shown = class_map.compatible_on(boxes.device).any(dim=0)
        return cls(boxes, labels, certain & shown[labels], across, along)

    def one_hot(self, flags: Tensor, num_classes: int) -> Tensor:
        """Detection classes ``(N, K, D)`` bool of the slots in ``flags``."""
        classes = torch.nn.functional.one_hot(self.labels, num_classes)
        return classes.bool() & flags[..., None]

    def covered(self, classes: Tensor, size: torch.Size,
                image_size: torch.Size) -> Tensor:
        """Where boxes of each class ``(N, K, D)`` are, on a coarser grid:
        ``(N, D, h, w)`` bool. A cell is covered if its center is. Sizes are
        (height, width), in cells and in pixels."""
        ys, xs = grid_points(size, image_size, self.boxes.device)
        return covered_cells(self.boxes, classes, xs, ys)


def _columns(sample) -> tuple:
    """Boxes, labels, whether they are certain, and cut, of one image."""
    parts = [sample.gt_instances, sample.ignored_instances]
    if 'unlisted_instances' in sample:
        parts.append(sample.unlisted_instances)
    boxes = torch.cat([part.bboxes for part in parts])
    # no class has the label of what is left out
    labels = torch.cat([part.labels for part in parts]).clamp(min=0)
    is_certain = torch.cat([
        torch.full_like(part.labels, part is parts[0], dtype=torch.bool)
        for part in parts
    ])
    height, width = sample.img_shape[:2]
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    # augmentation cuts boxes at the border exactly, up to rounding
    across = (x1 < 0.5) | (x2 > width - 0.5)
    along = (y1 < 0.5) | (y2 > height - 0.5)
    return boxes, labels, is_certain, across, along
