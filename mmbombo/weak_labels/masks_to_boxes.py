# Copyright (c) mmbombo contributors.
"""Pseudo boxes from masks and predictions (Mask-for-Box).

The circumscribed rectangles of a mask's components are matched with predicted
boxes, to be split (touching objects), merged (one object behind an occluder),
or used as they are. The paper's abstract names these steps; their conditions
are our reconstruction.

One component and one prediction take part in one step at most, and the steps
run in this order:

1. **Split.** A prediction belongs to the component, of a compatible class,
   that has most of it inside its rectangle (``containment_thr`` of the
   prediction; of several such components the one of highest IoU). Of two
   predictions of one component that overlap too much (IoU of ``iou_thr``, or
   ``containment_thr`` of one inside the other) the better one stays.
   If several are left, or one whose IoU with the rectangle is below
   ``iou_thr``, they divide the component. A pixel goes to the prediction that
   contains it; with several or none, to that of the nearest center, distances
   being in units of the box's width and height. Pixels that are three
   quarters of the width or height away from every center are the rest: other
   objects, that nobody predicts. The extents of each group of pixels are a
   box; where the rest goes on beyond a group, the side of the prediction
   parts them. Groups below ``min_area`` are ignored, and so is a rest below
   ``rest_thr`` of the component. There is no split with less than two larger
   ones, if a prediction and the box of its group have an IoU below
   ``iou_thr``, or if the box of the rest contains ``containment_thr`` of the
   only prediction, which shows a part of the object then. If ``rounds``
   rounds do not settle which predictions stay, the component is ambiguous and
   ignored.
2. **Merge.** Components of which a prediction contains ``containment_thr``,
   two or more, become one if their joint rectangle and the prediction have an
   IoU of ``iou_thr``.
3. **Direct.** A component whose rectangle and a prediction have an IoU of
   ``iou_thr`` is used as it is, with the prediction's class.
4. **Keep.** Any other component, and the rest of a split one, is used as it
   is, if its class leaves no choice of a detection class. Otherwise it is
   ignored for the possible ones, and so is a component that may be a piece of
   a larger one behind an occluder, see :func:`label_components`.

Better predictions come first: by score, then larger area, then coordinates,
then label. Where predictions compete for a component, a round serves those
that no better one competes with, and the next looks at what is left.

Everything has a fixed size and a fixed number of rounds, so that nothing waits
for an accelerator, where the work is linear in the pixels. A CPU stops when a
step is settled, and looks only at the pixels in question.
"""
from typing import Dict, NamedTuple, Tuple

import torch
from torch import Tensor

from .pixel_groups import group_pixels

#: The steps by which a target may have come about.
ORIGINS = ('split', 'rest', 'merged', 'direct', 'kept')


class RefinedBoxes(NamedTuple):
    """Pseudo boxes of N images in M slots; most slots are empty."""

    #: (N, M, 4) float32 x1, y1, x2, y2 in pixels, right and bottom exclusive.
    boxes: Tensor
    #: (N, M) int64 detection labels.
    labels: Tensor
    #: (N, M) bool, the slot holds a target.
    valid: Tensor
    #: (N, M) int64, the step of :data:`ORIGINS` that made the target.
    origins: Tensor
    #: (N, M) bool, the slot holds a region to be ignored.
    ignored: Tensor
    #: (N, M, D) bool, the detection classes that the region is ignored for.
    ignored_classes: Tensor
    #: 0-dim float32 tensors: targets by origin (``num_split``, ``num_rest``,
    #: ``num_merged``, ``num_direct``, ``num_kept``) and regions to be ignored
    #: (``num_ignored``).
    counts: Dict[str, Tensor]


class _Boxes(NamedTuple):
    """Components or predictions, best first."""

    boxes: Tensor  # (N, L, 4) float64
    areas: Tensor  # (N, L) float64, of the boxes
    labels: Tensor  # (N, L) int64
    usable: Tensor  # (N, L) bool


class _Pairs(NamedTuple):
    """Predictions against components, (N, P, K) each."""

    matching: Tensor  # bool, both usable and of compatible classes
    of_pred: Tensor  # share of the prediction that is in the rectangle
    of_comp: Tensor  # share of the rectangle that is in the prediction
    iou: Tensor


class _Thresholds(NamedTuple):
    """When boxes belong together, see the module."""

    iou: float
    containment: float
    rest: float
    min_area: float
    rounds: int
    max_splits: int


class _Split(NamedTuple):
    """Outcome of the first step."""

    boxes: Tensor  # (N, P, 4) extents of the prediction's group of pixels
    targets: Tensor  # (N, P) bool, the group is a target
    dropped: Tensor  # (N, P) bool, the group is too small to be one
    rest_boxes: Tensor  # (N, K, 4) extents of the rest
    rest_targets: Tensor  # (N, K) bool, likewise
    rest_dropped: Tensor  # (N, K) bool, likewise
    home: Tensor  # (N, P) component of the prediction
    pred_used: Tensor  # (N, P) bool
    comp_split: Tensor  # (N, K) bool
    comp_ambiguous: Tensor  # (N, K) bool


@torch.no_grad()
def refine_boxes(component_map: Tensor,
                 comp_boxes: Tensor,
                 comp_labels: Tensor,
                 comp_areas: Tensor,
                 comp_valid: Tensor,
                 comp_ignored: Tensor,
                 comp_pieces: Tensor,
                 pred_boxes: Tensor,
                 pred_scores: Tensor,
                 pred_labels: Tensor,
                 pred_valid: Tensor,
                 compatible: Tensor,
                 score_thr: float,
                 iou_thr: float = 0.5,
                 containment_thr: float = 0.7,
                 rest_thr: float = 0.2,
                 min_area: float = 0,
                 rounds: int = 4,
                 max_splits: int = 8) -> RefinedBoxes:
    """Refine the rectangles of components with predicted boxes.

    Args:
        component_map (Tensor): (N, H, W) integers, 0 where there is no
            component, otherwise its row in the table + 1.
        comp_boxes (Tensor): (N, K, 4) rectangles in pixels, x2 = last
            column + 1.
        comp_labels (Tensor): (N, K) int64 segmentation ids.
        comp_areas (Tensor): (N, K) pixels.
        comp_valid (Tensor): (N, K) bool, the row holds a component.
        comp_ignored (Tensor): (N, K) bool, the component is no target: it
            becomes a region to be ignored.
        comp_pieces (Tensor): (N, K) bool, the component may be a piece of
            another one: no target unless a prediction says so.
        pred_boxes (Tensor): (N, P, 4) in pixels.
        pred_scores (Tensor): (N, P).
        pred_labels (Tensor): (N, P) int64 detection labels.
        pred_valid (Tensor): (N, P) bool, the row holds a prediction.
        compatible (Tensor): (S, D) bool, as :attr:`ClassMap.compatible`.
        score_thr (float): Predictions must score more than this.
        iou_thr (float): See the module. Defaults to 0.5.
        containment_thr (float): See the module. Defaults to 0.7.
        rest_thr (float): See the module. Defaults to 0.2.
        min_area (float): Smallest part of a split component, in pixels.
            Defaults to 0.
        rounds (int): Rounds of each step. Defaults to 4.
        max_splits (int): Most parts of one component, the best ones. Time
            grows with it. Defaults to 8.

    Returns:
        RefinedBoxes: With M = P + K slots. Without predictions the targets
        are the rectangles of the components that are no pieces.
    """
    thr = _Thresholds(iou_thr, containment_thr, rest_thr, min_area, rounds,
                      max_splits)
    comps, comp_ignored, pieces, comp_order = _sort_components(
        comp_boxes, comp_labels, comp_areas, comp_valid, comp_ignored,
        comp_pieces)
    preds = _sort_predictions(pred_boxes, pred_scores, pred_labels,
                              pred_valid & (pred_scores > score_thr))
    classes = compatible[comps.labels]  # (N, K, D)
    possible = comps.usable & classes.any(dim=2)
    free_comp = possible & ~comp_ignored
    pairs = _compare(preds, comps._replace(usable=free_comp), compatible)

    split = _split(component_map, comp_order, comps, preds, pairs, thr)
    free_comp = free_comp & ~split.comp_split & ~split.comp_ambiguous
    free_pred = preds.usable & ~split.pred_used
    merged_boxes, merged, free_comp, free_pred = _merge(
        preds, comps, pairs, free_comp, free_pred, thr)
    direct_labels, direct = _match(preds, pairs, free_comp, free_pred, thr)
    left = free_comp & ~direct
    certain = classes.sum(dim=2) == 1
    kept = left & certain & ~pieces
    rest = split.rest_targets & certain
    comp_regions = (possible & comp_ignored) | split.comp_ambiguous | (
        split.rest_dropped | (split.rest_targets & ~rest) | (left & ~kept))

    pred_boxes = torch.where(merged[..., None], merged_boxes, split.boxes)
    comp_boxes = torch.where(split.comp_split[..., None], split.rest_boxes,
                             comps.boxes)
    comp_labels = torch.where(direct, direct_labels,
                              classes.to(torch.uint8).argmax(dim=2))
    pred_classes = classes.gather(
        1, split.home[..., None].expand(-1, -1, classes.size(2)))
    valid = torch.cat([split.targets | merged, direct | kept | rest], dim=1)
    ignored = torch.cat([split.dropped, comp_regions], dim=1)
    return RefinedBoxes(
        boxes=torch.cat([pred_boxes, comp_boxes], dim=1).float(),
        labels=torch.cat([preds.labels, comp_labels], dim=1),
        valid=valid,
        origins=torch.cat(
            [merged * 2, torch.where(kept, 4, 1 + 2 * direct)], dim=1),
        ignored=ignored,
        ignored_classes=torch.cat([pred_classes, classes], dim=1)
        & ignored[..., None],
        counts=dict(
            num_split=split.targets.sum().float(),
            num_rest=rest.sum().float(),
            num_merged=merged.sum().float(),
            num_direct=direct.sum().float(),
            num_kept=kept.sum().float(),
            num_ignored=ignored.sum().float()))


def _split(component_map: Tensor, comp_order: Tensor, comps: _Boxes,
           preds: _Boxes, pairs: _Pairs, thr: _Thresholds) -> _Split:
    """Split components into predicted objects and a rest."""
    max_splits = max(1, min(thr.max_splits, preds.labels.size(1)))
    inside = pairs.matching & (pairs.of_pred >= thr.containment)
    member = _first_best(pairs.iou, inside)  # (N, P, K), one per row
    home = member.to(torch.uint8).argmax(dim=2)
    chosen, undecided = _drop_overlapping(preds, member, thr)

    ambiguous = (member & undecided[..., None]).any(dim=1)
    member_chosen = member & chosen[..., None]
    slot = (member_chosen.long().cumsum(dim=1) - 1).gather(
        2, home[..., None]).squeeze(2)
    chosen = chosen & (slot < max_splits)
    member_chosen = member & chosen[..., None]
    num_chosen = member_chosen.sum(dim=1)
    unlike = (member_chosen & (pairs.iou < thr.iou)).any(dim=1)
    divided = ((num_chosen >= 2) | ((num_chosen == 1) & unlike)) & ~ambiguous
    active = chosen & divided.gather(1, home)

    group = group_pixels(component_map, comp_order + 1, comps.boxes,
                         preds.boxes, active, home, slot, max_splits)
    count, rest = group.count, group.rest

    large = active & (count >= thr.min_area) & (count > 0)
    in_comp = member & active[..., None]
    total = (in_comp * count[..., None]).sum(dim=1) + rest
    rest_large = (rest >= thr.min_area) & (rest > 0) & (
        rest.double() >= total.double() * thr.rest)
    num_large = (member & large[..., None]).sum(dim=1) + rest_large
    inter = _overlap(group.boxes, preds.boxes)
    agrees = inter / (_area(group.boxes) + preds.areas - inter) >= thr.iou
    refuted = (member & (large & ~agrees)[..., None]).any(dim=1)
    inter = _intersection(preds.boxes, group.rest_boxes)
    inside = in_comp & (inter / preds.areas[..., None] >= thr.containment)
    refuted = refuted | ((num_chosen == 1) & inside.any(dim=1))
    comp_split = divided & (num_large >= 2) & ~refuted
    done = active & comp_split.gather(1, home)
    in_ambiguous = (member & ambiguous[:, None, :]).any(dim=2)
    has_rest = comp_split & rest_large
    boxes, rest_boxes = _part_from_rest(
        group.boxes, group.rest_boxes, preds.boxes,
        in_comp & has_rest[:, None, :])
    return _Split(
        boxes=boxes,
        targets=done & large,
        dropped=done & ~large & (count > 0),
        rest_boxes=rest_boxes,
        rest_targets=has_rest,
        rest_dropped=comp_split & ~rest_large & (rest > 0),
        home=home,
        pred_used=done | in_ambiguous,
        comp_split=comp_split,
        comp_ambiguous=ambiguous)


def _part_from_rest(boxes: Tensor, rest_boxes: Tensor, preds: Tensor,
                    member: Tensor) -> Tuple[Tensor, Tensor]:
    """Let the sides of the predictions part their groups from the rest.

    A group ``(N, P, 4)`` reaches beyond its prediction. Where it is the rest
    ``(N, K, 4)`` that goes on there, nothing says that the object does.
    ``member`` ``(N, P, K)``: both are of one component.
    """
    # as the lower sides, with the upper ones negated
    boxes, rest, preds = (
        torch.cat([x[..., :2], -x[..., 2:]], dim=2)
        for x in (boxes, rest_boxes, preds))
    own = boxes[:, :, None], rest[:, None], preds[:, :, None]  # (N, P, K, 4)
    goes_on = (own[1] < own[0]) & member[..., None]
    boxes = torch.where(goes_on.any(dim=2), torch.maximum(boxes, preds), boxes)
    # a rest that ends in what the group loses goes on to the prediction
    ends = -rest.roll(2, dims=2)  # the opposite side
    meets = goes_on & (ends[:, None] >= own[0]) & (ends[:, None] <= own[2])
    nearest = torch.where(meets, own[2], torch.inf).amin(dim=1)
    ends = torch.where(nearest.isfinite(), nearest, ends)
    rest = -ends.roll(2, dims=2)
    return tuple(
        torch.cat([x[..., :2], -x[..., 2:]], dim=2) for x in (boxes, rest))


def _drop_overlapping(preds: _Boxes, member: Tensor,
                      thr: _Thresholds) -> Tuple[Tensor, Tensor]:
    """Of predictions of one component that overlap the better one stays:
    ``(N, P)`` those taken, and those still undecided.

    A round takes the predictions that no better undecided one overlaps, and
    drops those that overlap one of them.
    """
    inter = _intersection(preds.boxes, preds.boxes)
    area_a, area_b = preds.areas[:, :, None], preds.areas[:, None, :]
    overlap = (inter / (area_a + area_b - inter) >= thr.iou) | (
        inter / torch.minimum(area_a, area_b) >= thr.containment)
    shares_comp = torch.bmm(member.float(), member.float().mT) > 0
    loses_to = (overlap & shares_comp).tril(diagonal=-1)

    undecided = member.any(dim=2)
    taken = torch.zeros_like(undecided)
    for _ in range(thr.rounds):
        waits = (loses_to & undecided[:, None, :]).any(dim=2)
        taken = taken | (undecided & ~waits)
        lost = (loses_to & taken[:, None, :]).any(dim=2)
        undecided = undecided & ~taken & ~lost
        if _is_settled(undecided):
            break
    return taken, undecided


def _merge(preds: _Boxes, comps: _Boxes, pairs: _Pairs, free_comp: Tensor,
           free_pred: Tensor,
           thr: _Thresholds) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """Merge components that one prediction contains: joint rectangles
    ``(N, P, 4)``, where there is one, and what is left of ``free_comp`` and
    ``free_pred``."""
    inside = pairs.matching & (pairs.of_comp >= thr.containment)
    boxes = torch.zeros_like(preds.boxes)
    merged = torch.zeros_like(free_pred)
    for _ in range(thr.rounds):
        member = inside & free_comp[:, None, :] & free_pred[..., None]
        joint = _joint_rectangle(comps.boxes, member)
        inter = _overlap(joint, preds.boxes)
        iou = inter / (_area(joint) + preds.areas - inter)
        fits = (member.sum(dim=2) >= 2) & (iou >= thr.iou)
        competes = torch.bmm(member.float(), member.float().mT) > 0
        better = (competes & fits[:, None, :]).tril(diagonal=-1).any(dim=2)
        accepted = fits & ~better
        boxes = torch.where(accepted[..., None], joint, boxes)
        merged = merged | accepted
        free_pred = free_pred & ~accepted
        free_comp = free_comp & ~(member & accepted[..., None]).any(dim=1)
        if _is_settled(accepted):
            break
    return boxes, merged, free_comp, free_pred


def _is_settled(open_or_changed: Tensor) -> bool:
    """Whether further rounds change nothing, as all is False.

    Only a CPU, where nobody waits for the answer, is asked.
    """
    return (open_or_changed.device.type == 'cpu'
            and not bool(open_or_changed.any()))


def _joint_rectangle(boxes: Tensor, member: Tensor) -> Tensor:
    """(N, P, 4) rectangle around the components (N, K, 4) of each row.

    Rows without a component get an empty one.
    """
    low, high = boxes[:, None, :, :2], boxes[:, None, :, 2:]
    member = member[..., None]
    low = torch.where(member, low, torch.inf).amin(dim=2)
    high = torch.where(member, high, -torch.inf).amax(dim=2)
    joint = torch.cat([low, high], dim=2)
    return joint.masked_fill(~member.any(dim=2), 0)


def _match(preds: _Boxes, pairs: _Pairs, free_comp: Tensor, free_pred: Tensor,
           thr: _Thresholds) -> Tuple[Tensor, Tensor]:
    """Match components and predictions one to one: labels of the predictions
    ``(N, K)``, and where there is one."""
    close = pairs.matching & (pairs.iou >= thr.iou)
    labels = torch.zeros_like(free_comp, dtype=torch.long)
    matched = torch.zeros_like(free_comp)
    for _ in range(thr.rounds):
        wanted = _first_best(
            pairs.iou, close & free_comp[:, None, :] & free_pred[..., None])
        won = wanted & (wanted.long().cumsum(dim=1) == 1)
        labels = labels + (won * preds.labels[..., None]).sum(dim=1)
        matched = matched | won.any(dim=1)
        free_comp = free_comp & ~won.any(dim=1)
        free_pred = free_pred & ~won.any(dim=2)
        if _is_settled(won):
            break
    return labels, matched


def _compare(preds: _Boxes, comps: _Boxes, compatible: Tensor) -> _Pairs:
    """Compare all predictions with all components."""
    inter = _intersection(preds.boxes, comps.boxes)
    area_p, area_k = preds.areas[..., None], comps.areas[:, None, :]
    same_class = compatible.T[preds.labels].gather(
        2, comps.labels[:, None, :].expand(-1, preds.labels.size(1), -1))
    return _Pairs(
        matching=same_class & preds.usable[..., None]
        & comps.usable[:, None, :],
        of_pred=inter / area_p,
        of_comp=inter / area_k,
        iou=inter / (area_p + area_k - inter))


def _first_best(value: Tensor, allowed: Tensor) -> Tensor:
    """(N, P, K) bool: the first of the largest allowed values of each row."""
    value = value.masked_fill(~allowed, -torch.inf)
    best = allowed & (value == value.amax(dim=2, keepdim=True))
    return best & (best.long().cumsum(dim=2) == 1)


def _sort_components(
        boxes: Tensor, labels: Tensor, areas: Tensor, valid: Tensor,
        ignored: Tensor,
        pieces: Tensor) -> Tuple[_Boxes, Tensor, Tensor, Tensor]:
    """Larger ones first, then by coordinates and class."""
    boxes, labels, areas, valid, ignored, pieces = _not_empty(
        boxes, labels, areas, valid, ignored, pieces)
    order = _order(~valid, -areas, *boxes.unbind(dim=2), labels)
    return (_take(boxes, labels, valid, order),
            (valid & ignored).gather(1, order), pieces.gather(1, order), order)


def _sort_predictions(boxes: Tensor, scores: Tensor, labels: Tensor,
                      usable: Tensor) -> _Boxes:
    """Higher scores first, then larger ones, then by coordinates, class."""
    boxes, labels, scores, usable = _not_empty(boxes, labels, scores, usable)
    area = _area(boxes.double())
    order = _order(~usable, -scores, -area, *boxes.unbind(dim=2), labels)
    return _take(boxes, labels, usable & (area > 0), order)


def _not_empty(*columns: Tensor) -> Tuple[Tensor, ...]:
    """Tables without a row get an unused one: nothing to reduce fails."""
    if columns[0].size(1) > 0:
        return columns
    return tuple(
        column.new_zeros((column.size(0), 1, *column.shape[2:]))
        for column in columns)


def _order(*keys: Tensor) -> Tensor:
    """(N, L) order by the keys (N, L), the first being the most important."""
    order = torch.arange(keys[0].size(1), device=keys[0].device)
    order = order.expand(keys[0].size(0), -1)
    for key in reversed(keys):
        _, index = torch.sort(key.gather(1, order), dim=1, stable=True)
        order = order.gather(1, index)
    return order


def _take(boxes: Tensor, labels: Tensor, usable: Tensor,
          order: Tensor) -> _Boxes:
    """Reorder the rows; unused ones get harmless values."""
    usable = usable.gather(1, order)
    boxes = boxes.double().gather(1, order[..., None].expand(-1, -1, 4))
    boxes = boxes.masked_fill(~usable[..., None], 0)
    labels = labels.gather(1, order).masked_fill(~usable, 0)
    return _Boxes(boxes, _area(boxes), labels, usable)


def _area(boxes: Tensor) -> Tensor:
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return size[..., 0] * size[..., 1]


def _overlap(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Area of the intersection, element by element."""
    low = torch.maximum(boxes_a[..., :2], boxes_b[..., :2])
    high = torch.minimum(boxes_a[..., 2:], boxes_b[..., 2:])
    return _area(torch.cat([low, high], dim=-1))


def _intersection(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """(N, A, B) area of the intersections of (N, A, 4) and (N, B, 4)."""
    return _overlap(boxes_a[:, :, None], boxes_b[:, None, :])
