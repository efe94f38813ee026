# Copyright (c) mmbombo contributors.
from typing import NamedTuple

import torch
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from mmbombo.registry import TASK_UTILS
from mmbombo.structures.image_labels import ABSENT, PRESENT, UNKNOWN
from mmbombo.weak_labels.box_ring import box_ring_mean

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


class Seeds(NamedTuple):
    """At most one proposal of each class, S in all, and what follows for the
    R proposals of the image and C classes.

    Attributes:
        boxes (Tensor): ``(S, 4)``.
        labels (Tensor): ``(S, )`` int64.
        scores (Tensor): ``(S, )``, how much more of the map is in the box
            than in the ring around it.
        inds (Tensor): ``(S, )`` int64, which proposals they are.
        assigned (Tensor): ``(R, C)`` int8: 1 shows the object of the class, 0
            does not, -1 ignored, as all are for a class of the image that has
            no seed, or whose tag is unknown.
        salient (Tensor): ``(R, )`` int8: 1 shows the object of any class, 0
            none, -1 ignored. No proposal has 0 if a tag is unknown, or a
            class of the image has no seed.
    """
    boxes: Tensor
    labels: Tensor
    scores: Tensor
    inds: Tensor
    assigned: Tensor
    salient: Tensor


@TASK_UTILS.register_module()
class SaliencyGuidedSeedSelector:
    """The proposal of each class that stands out most from around it.

    Of a class that the image shows, the seed is the proposal with the
    greatest mean of the class's map in the box, less that in the ring around
    the box. A map that is everywhere alike has no seed; without that the
    whole image, which has no ring, would be one.

    Our reconstruction of Lai and Gong, "Saliency Guided End-to-End Learning
    for Weakly Supervised Object Detection", IJCAI 2017; the ring is that of
    Kantorov et al., "ContextLocNet", ECCV 2016.

    Args:
        ring_ratio (float): Width of the ring's outer box by that of the box.
            Defaults to 1.8.
        min_area (float): Of a seed, in pixels. Defaults to 400.
        min_inside (float): Mean of the map in a seed. Defaults to 0.3.
        pos_iou (float): With a seed, from which a proposal shows its object.
            Defaults to 0.5.
        ignore_iou (float): Above which it is ignored, and else shows none.
            Defaults to 0.1.
        neg_saliency (float): Mean, in a proposal, of the greatest map at each
            pixel, from which it is ignored as one of nothing. Defaults to 0.1.
        min_contrast (float): Of a seed, and between the extremes of its map;
            ours. Defaults to 0.05.
    """

    def __init__(self,
                 ring_ratio: float = 1.8,
                 min_area: float = 400,
                 min_inside: float = 0.3,
                 pos_iou: float = 0.5,
                 ignore_iou: float = 0.1,
                 neg_saliency: float = 0.1,
                 min_contrast: float = 0.05) -> None:
        self.ring_ratio = ring_ratio
        self.min_area = min_area
        self.min_inside = min_inside
        self.pos_iou = pos_iou
        self.ignore_iou = ignore_iou
        self.neg_saliency = neg_saliency
        self.min_contrast = min_contrast

    @torch.no_grad()
    def __call__(self, proposals: Tensor, maps: Tensor,
                 labels: Tensor) -> Seeds:
        """Select the seeds of an image.

        Args:
            proposals (Tensor): ``(R, 4)``, x1, y1, x2, y2 in pixels.
            maps (Tensor): ``(C, H, W)`` in 0..1, of the image and no padding.
            labels (Tensor): ``(C, )``: 1 present, 0 absent, -1 unknown; only
                the maps of present classes are read.

        Returns:
            Seeds: In the order of their labels.
        """
        shown = (labels == PRESENT).nonzero()[:, 0]
        assigned = proposals.new_zeros((len(proposals), len(labels)),
                                       dtype=torch.int8)
        assigned[:, labels != ABSENT] = IGNORED
        salient = assigned.new_full((len(proposals), ), IGNORED)
        if not len(proposals) or not len(shown):
            none = shown[:0]
            return Seeds(proposals[:0], none, proposals.new_zeros(0), none,
                         assigned, salient)
        maps = maps[shown]
        # and the greatest of all
        maps = torch.cat([maps, maps.amax(0, keepdim=True)])
        inside, ring = box_ring_mean(maps, proposals, self.ring_ratio)
        usable = self._usable(proposals, maps, inside)
        contrast = (inside - ring).where(usable, inside.new_tensor(-1.))
        scores, inds = contrast[:, :-1].max(0)
        found = scores > self.min_contrast
        inds, seeded = inds[found], shown[found]
        overlaps = bbox_overlaps(proposals, proposals[inds])
        positive = overlaps >= self.pos_iou
        positive[inds, torch.arange(len(inds))] = True
        near = ~positive & (overlaps > self.ignore_iou)
        assigned[:, seeded] = positive.to(assigned) - near.to(assigned)
        # else what shows nothing may show what was not found
        if found.all() and (labels != UNKNOWN).all():
            dark = inside[:, -1] < self.neg_saliency
            salient[dark & ~near.any(1)] = NEGATIVE
        salient[positive.any(1)] = POSITIVE
        return Seeds(proposals[inds], seeded, scores[found], inds, assigned,
                     salient)

    def _usable(self, proposals: Tensor, maps: Tensor,
                inside: Tensor) -> Tensor:
        """``(R, C)`` bool, where a proposal may be a seed of a map."""
        extent = (proposals[:, 2:] - proposals[:, :2]).clamp(min=0)
        usable = (inside >= self.min_inside) & (
            extent.prod(1, keepdim=True) >= self.min_area)
        low, high = maps.flatten(1).aminmax(dim=1)
        return usable & (high - low > self.min_contrast)
