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
- :func:`_group_in_tiles` looks at the rectangles of the components that have
  boxes, and is several times faster on a CPU, where nothing waits.
"""
from typing import NamedTuple, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Side of the tiles that rectangles are cut into, in pixels.
_TILE = 32
#: Tiles in memory at a time. A float of each pixel stays below the 128 KiB
#: from which the C library asks the system for fresh pages, each time.
_CHUNK = 28
#: Farthest pixel that a box gets, from its center, in its width or height.
_REACH = 0.75
#: More than any distance of such a pixel.
_FAR = 4.
#: Less than any position.
_NOWHERE = -2**31


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

    Args:
        component_map (Tensor): (N, H, W) integers.
        numbers (Tensor): (N, K) int64, numbers of the components in the map,
            a permutation of 1 to K.
        rectangles (Tensor): (N, K, 4) circumscribed rectangles.
        boxes (Tensor): (N, P, 4) float64.
        active (Tensor): (N, P) bool, the box takes part.
        home (Tensor): (N, P) int64, the component of the box.
        slot (Tensor): (N, P) int64, place of an active box among those of its
            component, from 0.
        num_slots (int): Slots of each component.

    Returns:
        PixelGroups: Without pixels where a box takes no part. The rest is
        arbitrary where no box of the component does.
    """
    if component_map.device.type == 'cpu':
        return _group_in_tiles(component_map, numbers, rectangles, boxes,
                               active, home, slot)
    return _group_everywhere(component_map, numbers, boxes, active, home, slot,
                             num_slots)


def _distances(boxes: Tensor, active: Tensor, size: int) -> Tensor:
    """Squared distances of pixels to centers, along either axis.

    Returns:
        Tensor: (2, R + 1, size) float32 for boxes (R, 4); inf where that is
        too far, for boxes that take no part, and in the last row.
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
    far = _distances(
        boxes.flatten(0, 1), active.flatten(), max(height, width))
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
    """Rows of the boxes (R,) of each component.

    Returns:
        Tensor: (slots, components) int64, R where there is no box.
    """
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
class _Tiles(NamedTuple):
    """Squares of pixels, of T x T."""

    comp: Tensor  # (L,)
    x: Tensor  # (L, T) columns, none of them beyond the rectangle
    y: Tensor  # (L, T) rows, likewise
    in_x: Tensor  # (L, T) bool, the column is no stand-in for one beyond
    in_y: Tensor  # (L, T) bool, likewise


def _group_in_tiles(component_map: Tensor, numbers: Tensor, rectangles: Tensor,
                    boxes: Tensor, active: Tensor, home: Tensor,
                    slot: Tensor) -> PixelGroups:
    """:func:`group_pixels` where boxes are; its sizes depend on the data."""
    image, box = active.nonzero(as_tuple=True)
    measures = home.new_zeros(*active.shape, 5)
    rest = home.new_zeros(numbers.numel(), 5)
    if len(box) > 0:
        _, height, width = component_map.shape
        comps, comp = torch.unique(
            image * numbers.size(1) + home[image, box], return_inverse=True)
        slot = slot[image, box]
        row_of = _rows_by_slot(comp, slot, active[image, box], len(comps),
                               int(slot.max()) + 1)
        far = _distances(boxes[image, box], active[image, box],
                         max(height, width))
        start = comps.div(numbers.size(1), rounding_mode='floor')
        measures[image, box], rest[comps] = _measure_components(
            component_map.flatten(), width, start * (height * width),
            numbers.flatten()[comps], rectangles.flatten(0, 1)[comps].long(),
            far, row_of)
    rest = rest.view(*numbers.shape, 5)
    return PixelGroups(
        *(x for each in (measures, rest)
          for x in (each[..., 0],
                    torch.cat([-each[..., 1:3], each[..., 3:]],
                              dim=2).double())))


def _measure_components(pixels: Tensor, width: int, start: Tensor,
                        number: Tensor, rectangles: Tensor, far: Tensor,
                        row_of: Tensor) -> Tuple[Tensor, Tensor]:
    """Measure C components, tile by tile.

    Args:
        pixels (Tensor): (N * H * W,) numbers of components.
        width (int): W.
        start (Tensor): (C,) first pixel of the component's image.
        number (Tensor): (C,) number of the component.
        rectangles (Tensor): (C, 4) int64.
        far (Tensor): (2, R + 1, size) distances of the boxes.
        row_of (Tensor): (slots, C) rows of the components' boxes.

    Returns:
        tuple: (R, 5) int64: the pixels of each box, and the extents x1, y1,
        x2, y2, the first two negated so that the largest of all tiles counts;
        and (C, 5), the same of the components' rests.
    """
    tiles = _cut(rectangles)
    row = row_of[:, tiles.comp]
    num_rows = far.size(1)
    far_x = far[0][row[..., None], tiles.x]
    far_y = far[1][row[..., None], tiles.y]
    line = (start[tiles.comp, None] + tiles.y * width)[..., None]
    wanted = number[tiles.comp, None].to(pixels.dtype)
    wanted = wanted.where(tiles.in_y, wanted.new_tensor(-1))[..., None]
    shares = []
    for i in range(0, len(line), _CHUNK):
        part = slice(i, i + _CHUNK)
        at = line[part] + tiles.x[part, None]
        found = pixels.index_select(0, at.flatten()).view_as(at)
        member = (found == wanted[part]) & tiles.in_x[part, None]
        shares.append(_share(member, far_x[:, part], far_y[:, part]))
    columns, lines = (torch.cat(x, dim=1) for x in zip(*shares))
    measures = torch.stack([
        columns.sum(dim=2).long(),
        _last(-tiles.x, columns),
        _last(-tiles.y, lines),
        _last(tiles.x + 1, columns),
        _last(tiles.y + 1, lines)
    ], dim=2)
    row = torch.cat([row, num_rows + tiles.comp[None]])
    measures = _sum_up(row.flatten(), measures.flatten(0, 1),
                       num_rows + len(number))
    return measures[:num_rows - 1], measures[num_rows:]


def _cut(rectangles: Tensor) -> _Tiles:
    """Cut rectangles (C, 4) into tiles, the last ones reaching beyond."""
    low, high = rectangles[:, :2], rectangles[:, 2:]
    num_x, num_y = (high - low + _TILE - 1).div(
        _TILE, rounding_mode='floor').T
    num = num_x * num_y
    comp = torch.arange(len(num)).repeat_interleave(num)
    place = torch.arange(len(comp)) - (num.cumsum(0) - num)[comp]
    step = torch.stack([
        place % num_x[comp],
        place.div(num_x[comp], rounding_mode='floor')
    ])
    at = low.T[:, comp, None] + step[..., None] * _TILE + torch.arange(_TILE)
    end = high.T[:, comp, None]
    return _Tiles(comp, *torch.minimum(at, end - 1), *(at < end))


def _share(member: Tensor, far_x: Tensor,
           far_y: Tensor) -> Tuple[Tensor, Tensor]:
    """Give the pixels of each tile to the boxes of its component.

    Args:
        member (Tensor): (L, T, T) bool, pixels of the component.
        far_x (Tensor): (slots, L, T) distances along the columns.
        far_y (Tensor): (slots, L, T) distances along the rows.

    Returns:
        tuple: Each box's pixels by column and by row, (slots + 1, L, T)
        float32 each, the last ones being nobody's.
    """
    distances = [
        _distance(x[:, None], y[..., None]) for x, y in zip(far_x, far_y)
    ]
    best = distances[0].clamp(max=_FAR)
    for distance in distances[1:]:
        torch.minimum(best, distance, out=best)
    left = member.float()
    columns, lines = [], []
    for distance in distances:
        mine = distance.eq_(best).mul_(left)
        left.sub_(mine)
        columns.append(mine.sum(dim=1))
        lines.append(mine.sum(dim=2))
    columns.append(left.sum(dim=1))
    lines.append(left.sum(dim=2))
    return torch.stack(columns), torch.stack(lines)


def _last(position: Tensor, count: Tensor) -> Tensor:
    """Largest position (L, T) that counts (slots, L, T) are not 0 at."""
    return position.masked_fill(count == 0, _NOWHERE).amax(dim=2)


def _sum_up(rows: Tensor, measures: Tensor, num_rows: int) -> Tensor:
    """Join the tiles of each row; (rows, 5) int64, as of the tiles."""
    counts = measures.new_zeros(num_rows, 1)
    counts.index_add_(0, rows, measures[:, :1])
    extents = measures.new_full((num_rows, 4), _NOWHERE)
    extents.scatter_reduce_(0, rows[:, None].expand(-1, 4), measures[:, 1:],
                            'amax')
    return torch.cat([counts, extents], dim=1)
