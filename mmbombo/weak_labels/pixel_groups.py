# Copyright (c) mmbombo contributors.
"""Give the pixels of components to boxes, and measure what each box gets.

A pixel goes to the box that contains its center; with several or none, to
that of the nearest center, distances being in units of the box's width and
height. The box of the first slot wins a tie. What is too far from all boxes
of the component is its rest.

The squared distance to a center is a term of the column plus a term of the
row, so that two small tables (:func:`_distances`) hold all that pixels need.
There are two ways to use them, with the same result:

- :func:`_group_everywhere` looks at every pixel of the map, in tensors of a
  fixed size, so that an accelerator need not wait for a number.
- :func:`_group_by_component` looks at the rectangles of the components that
  have boxes, and is several times faster on a CPU, where nothing waits.
"""
from typing import NamedTuple, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Farthest pixel that a box gets, from its center, in its width or height.
_REACH = 0.75
#: More than any distance of such a pixel.
_FAR = 4.


class PixelGroups(NamedTuple):
    """The pixels that each box gets."""

    count: Tensor  # (N, P) int64
    boxes: Tensor  # (N, P, 4) float64 extents, arbitrary without a pixel
    rest: Tensor  # (N, K) int64, pixels that no box gets
    rest_boxes: Tensor  # (N, K, 4) float64 extents, likewise


def group_pixels(component_map: Tensor, numbers: Tensor, rectangles: Tensor,
                 boxes: Tensor, active: Tensor, home: Tensor, slot: Tensor,
                 num_slots: int) -> PixelGroups:
    """Give each pixel of a component to one of the component's boxes.

    The components ``(N, K)`` have numbers in the map ``(N, H, W)``, a
    permutation of 1 to K, and rectangles. Of the boxes ``(N, P, 4)`` those
    that are ``active`` take part; each has a ``home``, its component, and
    there a ``slot``, from 0 to ``num_slots``. The rest is arbitrary where no
    box of the component takes part.
    """
    if component_map.device.type == 'cpu':
        return _group_by_component(component_map, numbers, rectangles, boxes,
                                   active, home, slot)
    return _group_everywhere(component_map, numbers, boxes, active, home, slot,
                             num_slots)


def _distances(boxes: Tensor, active: Tensor, size: int) -> Tensor:
    """Squared distances of pixels to centers, along either axis.

    ``(2, R + 1, size)`` for boxes (R, 4); inf where that is too far, for boxes
    that take no part, and in the last row.
    """
    low, high = boxes.T[:2, :, None], boxes.T[2:, :, None]
    pixel = torch.arange(size, device=boxes.device, dtype=boxes.dtype) + 0.5
    far = ((pixel - (low + high) / 2) / (high - low)).square().float()
    far = far.masked_fill((far > _REACH**2) | ~active[:, None], torch.inf)
    return F.pad(far, (0, 0, 0, 1), value=torch.inf)


def _distance(far_x: Tensor, far_y: Tensor) -> Tensor:
    """Squared distance, and 1 more outside of the box.

    Half a box away is its edge. Inside, the sum is .5 at most, so that the 1
    puts all boxes that contain a pixel before those that do not.
    """
    outside = torch.maximum((far_x > 0.25).float(), (far_y > 0.25).float())
    return (far_x + far_y).add_(outside)


# --------------------------------------------------------------- every pixel
def _group_everywhere(component_map: Tensor, numbers: Tensor, boxes: Tensor,
                      active: Tensor, home: Tensor, slot: Tensor,
                      num_slots: int) -> PixelGroups:
    """:func:`group_pixels` in tensors of a fixed size."""
    num, height, width = component_map.shape
    # Components are numbered through all images from here on.
    num_numbers = numbers.size(1) + 1
    first = torch.arange(num, device=boxes.device) * num_numbers
    comp = (component_map + first[:, None, None]).flatten()
    row_of = _rows_by_slot(
        (numbers.gather(1, home) + first[:, None]).flatten(), slot.flatten(),
        active.flatten(), num * num_numbers, num_slots)
    far = _distances(boxes.flatten(0, 1), active.flatten(), max(height, width))
    _, rows, size = far.shape
    far_x, far_y = far.flatten(1)

    xs = torch.arange(width, device=comp.device)
    ys = torch.arange(height, device=comp.device)[:, None]
    xs, ys = (at.expand(num, height, width).flatten() for at in (xs, ys))
    # The rest of a component is what its number adds to the last row.
    best = far.new_full(comp.shape, _FAR)
    owner = rows - 1 + comp
    for row in row_of:
        row = row.index_select(0, comp)
        distance = _distance(
            far_x.index_select(0, row * size + xs),
            far_y.index_select(0, row * size + ys))
        owner = torch.where(distance < best, row, owner)
        best = torch.minimum(best, distance)

    # Counts by column say where the columns are, too.
    one = torch.ones_like(owner, dtype=torch.int32)
    columns = one.new_zeros((rows - 1 + num * num_numbers) * size)
    lines = torch.zeros_like(columns, dtype=torch.bool)
    columns = columns.scatter_add_(0, owner * size + xs, one).view(-1, size)
    lines = lines.scatter_(0, owner * size + ys, True).view(-1, size)
    x1, x2 = _extents(columns > 0)
    y1, y2 = _extents(lines)
    groups = columns.sum(dim=1), torch.stack([x1, y1, x2, y2], dim=1).double()
    rest = rows - 1 + first[:, None] + numbers
    return PixelGroups(
        *(x[:rows - 1].unflatten(0, active.shape) for x in groups),
        *(x[rest] for x in groups))


def _rows_by_slot(comp: Tensor, slot: Tensor, active: Tensor, num_comps: int,
                  num_slots: int) -> Tensor:
    """Rows of the boxes (R,) of each component, (slots, components); R where
    there is no box."""
    unused = num_slots * num_comps
    place = torch.where(active, slot * num_comps + comp, unused)
    row_of = comp.new_full((unused + 1, ), len(comp))
    row_of.scatter_(0, place, torch.arange(len(comp), device=comp.device))
    return row_of[:-1].view(num_slots, num_comps)


def _extents(seen: Tensor) -> Tuple[Tensor, Tensor]:
    """First True of each row, and what comes after the last."""
    seen = seen.to(torch.uint8)
    return seen.argmax(dim=1), seen.size(1) - seen.flip(1).argmax(dim=1)


# ------------------------------------------------------- pixels that matter
def _group_by_component(component_map: Tensor, numbers: Tensor,
                        rectangles: Tensor, boxes: Tensor, active: Tensor,
                        home: Tensor, slot: Tensor) -> PixelGroups:
    """:func:`group_pixels` in the rectangles of components with boxes."""
    num_boxes = active.size(1)
    of_boxes, of_rests = (
        torch.zeros(*x.shape, 5, dtype=torch.long) for x in (active, numbers))
    far = _distances(
        boxes.flatten(0, 1), active.flatten(), max(component_map.shape[1:]))
    image, box = active.nonzero(as_tuple=True)
    both = torch.stack([image, home[image, box]])
    for n, k in both.unique(dim=1).T.tolist():
        rows = (active[n] & (home[n] == k)).nonzero()[:, 0]
        rows = rows[slot[n, rows].argsort()]
        x1, y1, x2, y2 = rectangles[n, k].long().tolist()
        member = component_map[n, y1:y2, x1:x2] == numbers[n, k]
        distance = _distance(far[0, n * num_boxes + rows, None, x1:x2],
                             far[1, n * num_boxes + rows, y1:y2, None])
        nearest, owner = distance.min(dim=0)
        owner[nearest >= _FAR] = len(rows)
        slots = torch.arange(len(rows) + 1)[:, None, None]
        pixels = member & (owner == slots)
        left, right = _extents(pixels.any(dim=1))
        top, bottom = _extents(pixels.any(dim=2))
        measures = torch.stack([
            pixels.sum(dim=(1, 2)), x1 + left, y1 + top, x1 + right,
            y1 + bottom
        ], 1)
        of_boxes[n, rows], of_rests[n, k] = measures[:-1], measures[-1]
    return PixelGroups(*(x for each in (of_boxes, of_rests)
                         for x in (each[..., 0], each[..., 1:].double())))
