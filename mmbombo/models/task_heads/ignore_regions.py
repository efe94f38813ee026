# Copyright (c) mmbombo contributors.
from typing import List, NamedTuple, Optional, Tuple

import torch
from mmdet.utils import InstanceList
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmbombo.models.utils import covered_cells

#: Replaces a class logit that is not to be learned from. Its sigmoid is zero
#: in every floating-point type that trains, so as a negative it costs nothing.
IGNORED_LOGIT = -50.


class IgnoreRegions(NamedTuple):
    """Where a detector is told nothing.

    Attributes:
        boxes (Tensor): ``(N, K, 4)`` in input pixels, (x1, y1, x2, y2). A row
            that is padding has an empty class mask.
        classes (Tensor): ``(N, K, C)`` bool: the detection classes that the
            box ignores.
        pixels (Tensor, optional): ``(N, H, W)`` bool: pixels that are unknown
            for all classes. Defaults to None.
    """
    boxes: Tensor
    classes: Tensor
    pixels: Optional[Tensor] = None

    @classmethod
    def from_instances(cls, instances: List[InstanceData],
                       num_classes: int) -> Optional['IgnoreRegions']:
        """Ignore each box for its own class, as crowd and difficult boxes.

        None if there is no box.
        """
        if not any(len(x) for x in instances):
            return None
        return cls(*boxes_and_classes(instances, num_classes))


def boxes_and_classes(instances: List[InstanceData],
                      num_classes: int) -> Tuple[Tensor, Tensor]:
    """Boxes ``(N, K, 4)`` of N images, and their classes ``(N, K, C)`` bool.

    A row that is padding has no class.
    """
    boxes, valid = pad_boxes([x.bboxes for x in instances])
    labels = pad_sequence([x.labels for x in instances], batch_first=True)
    one_hot = torch.nn.functional.one_hot(labels, num_classes).bool()
    return boxes, one_hot & valid[..., None]


def pad_boxes(boxes: List[Tensor]) -> Tuple[Tensor, Tensor]:
    """Stack N tensors ``(K_i, 4)`` of boxes: ``(N, K, 4)``, filled with zeros,
    and the mask ``(N, K)`` of the real ones."""
    padded = pad_sequence(boxes, batch_first=True)
    counts = torch.tensor([len(x) for x in boxes]).to(
        padded.device, non_blocking=True)
    valid = torch.arange(padded.shape[1], device=padded.device)[None]
    return padded, valid < counts[:, None]


def split_boxes(boxes: Tensor, labels: Tensor, valid: Tensor,
                **others: Tensor) -> InstanceList:
    """``bboxes``, ``labels`` and ``others`` ``(N, K)`` of the valid of K slots
    of each of N images.

    The heads of MMDetection want as many boxes as there are, so this is what
    waits for the device; their assigners do the same.
    """
    order = valid.long().argsort(dim=1, descending=True, stable=True)
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    columns = {
        key: column.gather(1, order)
        for key, column in dict(others, labels=labels).items()
    }
    return [
        InstanceData(
            bboxes=boxes[i, :n], **{key: x[i, :n]
                                    for key, x in columns.items()})
        for i, n in enumerate(valid.sum(dim=1).tolist())
    ]


def ignored_cells(regions: IgnoreRegions, targets: Tensor,
                  target_classes: Tensor, size: Tuple[int, int],
                  stride: Tuple[int, int], offset: float) -> Tensor:
    """Find the cells ``(N, C, H, W)`` of a level that are to be ignored.

    In or beside a target box, the class of the target is never ignored: the
    cell may be a positive. "Beside" is one stride, because an anchor is
    matched by its extent, and the best anchor of a tiny box may be centered
    just outside.

    ``targets`` are boxes ``(N, T, 4)`` of ``target_classes`` ``(N, T, C)``;
    ``size`` is (height, width) of the level in cells, ``stride`` (x, y) in
    pixels, and ``offset`` where a cell's center lies, in strides.
    """
    height, width = size
    device = targets.device
    xs = (torch.arange(width, device=device) + offset) * stride[0]
    ys = (torch.arange(height, device=device) + offset) * stride[1]
    ignored = covered_cells(regions.boxes, regions.classes, xs, ys)

    if regions.pixels is not None:
        rows = ys.long().clamp(max=regions.pixels.shape[1] - 1)
        columns = xs.long().clamp(max=regions.pixels.shape[2] - 1)
        unknown = regions.pixels[:, rows][:, :, columns]
        ignored = ignored | unknown[:, None]

    # numbers, not a tensor of them: its making would wait for the device
    x1, y1, x2, y2 = targets.unbind(dim=2)
    beside = torch.stack(
        [x1 - stride[0], y1 - stride[1], x2 + stride[0], y2 + stride[1]],
        dim=2)
    near_target = covered_cells(beside, target_classes, xs, ys)
    return ignored & ~near_target
