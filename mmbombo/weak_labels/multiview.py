# Copyright (c) mmbombo contributors.
"""Boxes on a few posed views, and depth, as masks of all views.

A point of the scene belongs to a class as far as the views that see it have it
in boxes of this class; projected into any view, that is a mask. The steps are
those of Sun, Zhang and Barnes, "3D Guided Weakly Supervised Semantic
Segmentation", ACCV 2020; the paper gives no formulas, so these are our
reconstruction, and so are all numbers.

Conventions: a camera is a matrix ``(B, 3, 3)`` to pixels and a rigid matrix
``(B, 4, 4)`` from the world, with OpenCV's axes (x to the right, y down, z
forward). A pixel ``(row, column)`` is 1 wide and has its center at ``(column +
.5, row + .5)``, as boxes count. Depth ``(B, H, W)`` is z in meters; 0 is
missing.
"""
from typing import Iterable, NamedTuple, Optional, Tuple, Union

import torch
from torch import Tensor

from mmbombo.structures import IGNORE_INDEX
from .crf import CRFParams, DenseCRF

#: Score of a point that too few views see, and of a pixel without a point.
UNDEFINED, EMPTY = -1., -2.
#: Of what only a network sees, that is background whose best class has less
#: than the first, and that an object whose best class has the second.
CERTAIN = .1, .8
#: A box of pixels may end half a pixel before the outline that it is tight to;
#: the centers of the pixels beside it are outside.
BOX_MARGIN = .49
#: Points that are projected at a time, which bounds the memory.
CHUNK = 2**18
#: Right, left, below, above, and the diagonals: (rows, columns).
NEIGHBORS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1,
                                                                          -1))


class View(NamedTuple):
    """A view: depth ``(H, W)``, matrix to pixels ``(3, 3)`` and from the world
    ``(4, 4)``, or all of them with a leading dimension B."""
    depth: Tensor
    intrinsics: Tensor
    extrinsics: Tensor


class Sight(NamedTuple):
    """Of N points in B views: where they are, x, y ``(B, N, 2)``, the index of
    the pixel ``(B, N)``, and whether they are seen ``(B, N)``."""
    positions: Tensor
    pixels: Tensor
    seen: Tensor


def backproject_depth(view: View) -> Tensor:
    """Points ``(B, H, W, 3)`` of the world that pixels show."""
    depth, intrinsics, extrinsics = view
    height, width = depth.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height).to(depth) + .5,
        torch.arange(width).to(depth) + .5,
        indexing='ij')
    rays = torch.stack([x, y, torch.ones_like(x)], dim=-1).flatten(0, 1)
    rays = rays @ intrinsics.inverse().mT
    points = rays * depth.flatten(-2)[..., None]
    points = points - extrinsics[..., None, :3, 3]
    # the inverse of a rotation is its transpose, of rows it is itself
    return (points @ extrinsics[..., :3, :3]).unflatten(-2, (height, width))


def project_points(points: Tensor, intrinsics: Tensor,
                   extrinsics: Tensor) -> Tuple[Tensor, Tensor]:
    """Positions x, y ``(B, N, 2)`` and z ``(B, N)`` of points ``(N, 3)``.

    Positions are nowhere (infinite) where z is not positive.
    """
    inside = points @ extrinsics[..., :3, :3].mT + extrinsics[..., None, :3, 3]
    z = inside[..., 2]
    ahead = torch.where(z > 0, z, z.new_zeros(()))
    return (inside @ intrinsics.mT)[..., :2] / ahead[..., None], z


def visibility(points: Tensor,
               view: View,
               tolerance: float = .05,
               relative: float = .01) -> Sight:
    """Which points ``(N, 3)`` B views see.

    A point is seen where its z differs from the depth of its pixel by less
    than ``tolerance`` meters and the share ``relative`` of z.
    """
    height, width = view.depth.shape[-2:]
    positions, z = project_points(points, view.intrinsics, view.extrinsics)
    x, y = positions.unbind(-1)
    inside = (z > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    pixels = torch.where(inside, y, 0).long() * width + torch.where(
        inside, x, 0).long()
    depth = view.depth.flatten(-2).gather(-1, pixels)
    seen = inside & (depth > 0) & (
        (depth - z).abs() < tolerance + relative * z)
    return Sight(positions, pixels, seen)


def voxel_downsample(points: Tensor, voxel: float) -> Tensor:
    """Of points ``(N, 3)``, in each voxel that nearest to its center.

    So they are points of a surface, do not depend on the order, and clouds
    that are reduced together after each alone are the same.
    """
    cells = (points / voxel).floor()
    distance = (points / voxel - cells - .5).square().sum(dim=1)
    keys = cells.long()
    keys = (keys[:, 0] << 42) + (keys[:, 1] << 21) + keys[:, 2]
    order = distance.argsort(stable=True)
    keys, of_key = keys[order].sort(stable=True)
    first = torch.ones_like(keys, dtype=torch.bool)
    first[1:] = keys[1:] != keys[:-1]
    return points[order[of_key[first]]]


def point_cloud(views: Iterable[View], voxel: float) -> Tensor:
    """Points ``(N, 3)`` of all that the views ``(H, W)`` show."""
    cloud, waiting = torch.zeros(0, 3), []
    for view in views:
        points = backproject_depth(view)[view.depth > 0]
        waiting.append(voxel_downsample(points, voxel))
        if sum(map(len, waiting)) > max(len(cloud), 2**20):
            cloud = voxel_downsample(torch.cat([cloud, *waiting]), voxel)
            waiting = []
    return voxel_downsample(torch.cat([cloud, *waiting]), voxel)


class BoxVoteObjectness:
    """Votes of views for the classes of points.

    Each view that sees a point votes for the classes in whose boxes it is
    there. With tight and complete boxes and exact depth, an object's points
    have all votes for its class; others lose them as views differ.

    Votes are sums: the order of the views does not matter, nor who counts
    them, see :meth:`merge`.

    Args:
        points (Tensor): ``(N, 3)``.
        num_classes (int): C.
        min_views (int): A point with votes of boxes that fewer views with
            boxes see is undefined. (Outside of all boxes of one view, it is
            background.) Defaults to 2.
        weight (float): How much a view with the network's probabilities
            counts beside one with boxes. Defaults to 0.05.
        **tolerance: See :func:`visibility`.
    """

    def __init__(self,
                 points: Tensor,
                 num_classes: int,
                 min_views: int = 2,
                 weight: float = .05,
                 **tolerance: float) -> None:
        self.points = points
        self.min_views = min_views
        self.weight = weight
        self.tolerance = tolerance
        #: How many views with boxes see a point, and of the network
        self.views, self.network_views = torch.zeros(
            2, len(points), dtype=torch.int32)
        #: Sums of the votes ``(N, C)``, of what the network said, and of the
        #: areas of the boxes that voted, in pixels
        self.votes, self.posteriors, self.areas = points.new_zeros(
            3, len(points), num_classes)

    def _seen(self, view: View) -> Iterable[Tuple[Tensor, Tensor, Tensor]]:
        """Points, positions and pixels of what a view sees, in chunks."""
        for start in range(0, len(self.points), CHUNK):
            sight = visibility(self.points[start:start + CHUNK], view,
                               **self.tolerance)
            index = sight.seen.nonzero()[:, 0]
            yield (index + start, sight.positions[index], sight.pixels[index])

    def add_view(self,
                 view: View,
                 boxes: Tensor,
                 labels: Tensor,
                 margin: float = BOX_MARGIN) -> None:
        """Add the votes of boxes ``(M, 4)``, x1, y1, x2, y2, of classes ``(M,
        )``, all that are in the view ``(H, W)``."""
        low, high = boxes[:, :2] - margin, boxes[:, 2:] + margin
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).to(self.areas)
        # the largest first, so that the smallest of a class is the last word
        order = areas.argsort(descending=True).tolist()
        for index, positions, _ in self._seen(view):
            self.views[index] += 1
            smallest = self.areas.new_zeros(len(index), self.areas.shape[1])
            for i in order:
                inside = ((positions >= low[i]) &
                          (positions <= high[i])).all(1)
                smallest[inside, labels[i]] = areas[i]
            self.votes[index] += (smallest > 0).to(self.votes)
            self.areas[index] += smallest

    def add_mask(self, view: View, ids: Tensor) -> None:
        """Add the votes of a view with boxes that shows, ``(H, W)``, class c
        as c + 1, or 0 for none; 255 counts as not seen."""
        classes = torch.arange(1, self.votes.shape[1] + 1)[:, None, None]
        view = view._replace(depth=view.depth * (ids != IGNORE_INDEX))
        self._add_pixels(view, (ids == classes).float(), self.views,
                         self.votes)

    def add_posteriors(self, view: View, posteriors: Tensor) -> None:
        """Add what a network says, ``(C, H, W)``."""
        self._add_pixels(view, posteriors, self.network_views, self.posteriors)

    def _add_pixels(self, view: View, scores: Tensor, views: Tensor,
                    votes: Tensor) -> None:
        scores = scores.flatten(1)
        for index, _, pixels in self._seen(view):
            views[index] += 1
            votes[index] += scores[:, pixels].T

    def merge(self, other: 'BoxVoteObjectness') -> None:
        """Add the votes of another one for the same points."""
        for name in ('views', 'votes', 'areas', 'network_views', 'posteriors'):
            getattr(self, name).add_(getattr(other, name))

    @property
    def counted(self) -> Tensor:
        """Tensor: ``(N, )``, how much all views count that see a point."""
        return self.views + self.weight * self.network_views

    def finalize(self) -> Tensor:
        """Objectness ``(N, C)`` in 0..1, or :data:`UNDEFINED`.

        What no view with boxes sees has the mean of the network, where that
        is certain.
        """
        scores = self.votes + self.weight * self.posteriors
        scores /= self.counted.clamp(min=1e-6)[:, None]
        unsure = (self.views < self.min_views) & (self.votes > 0).any(1)
        best, (low, high) = scores.amax(1), CERTAIN
        unsure |= (self.views == 0) & (best > low) & (best < high)
        scores[unsure | (self.counted == 0)] = UNDEFINED
        return scores

    def settled(self) -> Tensor:
        """Objectness ``(N, C)``, of which ties are decided.

        A mug on a table is in the boxes of both in each view. Of classes
        within half a vote of the best, the one whose boxes are the smallest
        keeps its score, and the others get 0.
        """
        scores = self.finalize()
        margin = .5 / self.counted.clamp(min=1e-6)[:, None]
        tied = (scores >= scores.amax(1, keepdim=True) - margin) & (scores > 0)
        # without boxes, as of masks and the network, the best one wins
        sizes = torch.where(tied & (self.areas > 0), self.areas / self.votes,
                            torch.inf)
        winner = torch.where(sizes.isfinite().any(1), sizes.argmin(1),
                             scores.argmax(1))
        lost = tied.scatter(1, winner[:, None], False)
        return scores.masked_fill_(lost, 0)


def render_point_scores(points: Tensor,
                        scores: Tensor,
                        view: View,
                        fill: int = 16,
                        tolerance: float = .05,
                        relative: float = .01) -> Tuple[Tensor, Tensor]:
    """Scores of points in a view.

    Args:
        points (Tensor): ``(N, 3)``.
        scores (Tensor): ``(N, C)``; of an undefined one all are
            :data:`UNDEFINED`.
        view (View): ``(H, W)``.
        fill (int): Pixels without a point get the scores of a pixel that is
            at most so many pixels away, and of about the same depth; it needs
            none itself. Defaults to 16.
        tolerance (float): See :func:`visibility`.
        relative (float): See :func:`visibility`.

    Returns:
        tuple[Tensor, Tensor]: Scores ``(C, H, W)``, the highest of the seen
        points of a pixel, 0 where none is known; and where one is ``(H, W)``.
    """
    height, width = view.depth.shape
    maps = scores.new_full((height * width, scores.shape[1]), EMPTY)
    for start in range(0, len(points), CHUNK):
        sight = visibility(points[start:start + CHUNK], view, tolerance,
                           relative)
        index = sight.seen.nonzero()[:, 0]
        maps.scatter_reduce_(
            0, sight.pixels[index, None].expand(-1, maps.shape[1]),
            scores[index + start], 'amax')
    depth = torch.nn.functional.pad(view.depth, (1, 1, 1, 1), value=-1)
    source = _fill_holes((maps[:, 0] > EMPTY).view(height, width), depth, fill,
                         tolerance, relative)
    maps = maps[source]
    known = (maps[:, 0] >= 0).view(height, width)
    return maps.clamp_(min=0).T.reshape(-1, height, width), known


def _fill_holes(covered: Tensor, depth: Tensor, steps: int, tolerance: float,
                relative: float) -> Tensor:
    """Of each pixel ``(H * W, )``, the covered one that stands for it, or
    itself; depth ``(H + 2, W + 2)`` is -1 around the image."""
    height, width = covered.shape
    source = torch.full_like(depth, -1, dtype=torch.long)
    own = torch.arange(height * width, device=depth.device)
    source[1:-1, 1:-1] = torch.where(covered, own.view(height, width), -1)
    source, depth = source.ravel(), depth.ravel()
    inner = (own // width + 1) * (width + 2) + own % width + 1
    holes = inner[source[inner] < 0]
    for _ in range(steps):
        found = torch.full_like(holes, -1)
        z = depth[holes]
        for row, column in NEIGHBORS:
            other = source[holes + row * (width + 2) + column]
            # a chain over missing depth stays on the surface it began on
            distance = (z - depth[inner[other]]).abs()
            near = (z == 0) | (distance < tolerance + relative * z)
            found = torch.where((found < 0) & near, other, found)
        if not (found >= 0).any():
            break
        source[holes] = found
        holes = holes[found < 0]
    source = source[inner]
    return torch.where(source < 0, own, source)


def keep_in_boxes(scores: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """Scores ``(C, H, W)`` of a view with all its boxes ``(M, 4)``: 0 outside
    of those of a class."""
    inside = torch.zeros_like(scores, dtype=torch.bool)
    for (x1, y1), (x2, y2), label in zip(boxes[:, :2].floor().long().clamp(0),
                                         boxes[:, 2:].ceil().long().clamp(0),
                                         labels):
        inside[label, y1:y2, x1:x2] = True
    return scores * inside


def scores_to_pseudo_label(scores: Tensor,
                           known: Tensor,
                           fg_thr: float,
                           bg_thr: float,
                           image: Optional[Tensor] = None,
                           crf: Union[CRFParams, str, None] = None) -> Tensor:
    """A mask of scores.

    Args:
        scores (Tensor): ``(C, H, W)`` in 0..1.
        known (Tensor): ``(H, W)`` bool: the others are 255.
        fg_thr (float): A pixel has the class of the highest score, if it is
            at least this.
        bg_thr (float): It is background, 0, if all scores are below. Between,
            it is 255.
        image (Tensor, optional): RGB ``(3, H, W)`` in 0..255, for the CRF.
        crf (CRFParams | str, optional): A :class:`DenseCRF` over classes and
            background, which has 1 minus the highest score. Defaults to None.

    Returns:
        Tensor: ``(H, W)`` uint8, class c as c + 1.
    """
    if crf is not None:
        probs = torch.cat([1 - scores.amax(0, keepdim=True), scores])
        probs[:, ~known] = 1
        probs = probs / probs.sum(0)
        scores = DenseCRF(image, crf)(-probs.clamp(min=1e-3).log())[1:]
    best, label = scores.max(0)
    mask = torch.where(best < bg_thr, 0, IGNORE_INDEX)
    mask = torch.where(best >= fg_thr, label + 1, mask)
    return mask.masked_fill_(~known, IGNORE_INDEX).byte()
