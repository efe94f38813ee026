# Copyright (c) mmbombo contributors.
from typing import Callable, Optional, Tuple

import cv2
import numpy as np
import torch
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.structures import DetDataSample, SampleList
from mmdet.utils import ConfigType, OptConfigType
from mmengine.structures import PixelData
from torch import Tensor

from mmbombo.models.layers import (SpatialRanking, check_rank_mode,
                                   rank_instances)
from mmbombo.models.utils import unpadded_shape
from mmbombo.registry import MODELS
from mmbombo.structures.class_names import TaskClasses, resolve_classes
from mmbombo.utils import UserError
from .base_task_head import DerivedTaskHead


@MODELS.register_module()
class PanopticTaskHead(DerivedTaskHead):
    """A class for every pixel and a number for every object, from the boxes
    and the map of a network that has never seen the mask of an object.

    A pixel of a class of things belongs to the box around it that ranks
    first, of those whose class the map may show so. Stuff is what the map
    says: the segmentation classes without a detection class, such as the
    background. What is left is void.

    ``pred_panoptic_seg`` is as MMDetection has it, class + 1000 x number, at
    the original size. Its classes, ``label_names``, are those of the detector,
    then stuff. The object k is that of the box ``pred_instances[k - 1]``.

    Args:
        class_map (dict): Arguments of :class:`~mmbombo.structures.ClassMap`;
            class names default to those of the model.
        rank_mode (str): ``'score'``, ``'area'``, ``'srm'`` or
            ``'srm*score'``, see
            :func:`~mmbombo.models.layers.spatial_ranking.rank_instances`.
            Masks are the boxes, cut by the pixels that they may take.
            Defaults to 'score'.
        srm (dict, optional): Arguments of the :class:`SpatialRanking` that
            ``'srm'`` asks, with the ``init_cfg`` that it is loaded by; it is
            not trained here, and in no checkpoint. Defaults to None.
        score_thr (float): Lowest score of a box. Defaults to 0.3.
        same_class (bool): Whether a box takes the pixels of its own class
            only, or those of all classes of things, so that its class
            overrules that of the map. Defaults to True.
        mask_overlap (float): A box is dropped if boxes before it have more
            than this part of its pixels. Defaults to 0.5.
        stuff_area_limit (int): Stuff of fewer pixels is void, as in
            MMDetection's fusion heads. Defaults to 4096.
        component_area_limit (int, optional): Connected pixels of one class of
            things that no box takes are an object, from so many pixels on, if
            they are those of one detection class. Defaults to None: void.
    """

    tasks = ('panoptic', )
    needs = ('det', 'seg')

    def __init__(self,
                 class_map: ConfigType,
                 rank_mode: str = 'score',
                 srm: OptConfigType = None,
                 score_thr: float = 0.3,
                 same_class: bool = True,
                 mask_overlap: float = 0.5,
                 stuff_area_limit: int = 4096,
                 component_area_limit: Optional[int] = None) -> None:
        super().__init__()
        check_rank_mode(rank_mode)
        self.class_map_cfg = class_map
        self.rank_mode = rank_mode
        self.srm_cfg = srm or {}
        if rank_mode.startswith('srm') and 'init_cfg' not in self.srm_cfg:
            raise UserError(
                f'rank_mode={rank_mode!r} of PanopticTaskHead needs trained '
                "weights: srm=dict(init_cfg=dict(type='Pretrained', "
                'checkpoint=...))')
        self.score_thr = score_thr
        self.same_class = same_class
        self.mask_overlap = mask_overlap
        self.stuff_area_limit = stuff_area_limit
        self.component_area_limit = component_area_limit

    def check_classes(self, classes: TaskClasses) -> None:
        """Relate the classes of the tasks by their names."""
        self.class_map = resolve_classes(classes, self.class_map_cfg)[1]
        self.srm = None
        if self.rank_mode.startswith('srm'):
            srm = SpatialRanking(self.class_map.num_det_classes,
                                 **self.srm_cfg)
            srm.init_weights()
            # no submodule: checkpoints fit with and without it
            self.__dict__['srm'] = srm.requires_grad_(False)
        self.stuff_ids = self.class_map.outside_ids
        self.label_names = self.class_map.det_classes + tuple(
            self.class_map.seg_classes[i] for i in self.stuff_ids)

    @torch.no_grad()
    def add_predictions(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                        samples: SampleList, extract_feat: Callable) -> None:
        """Store ``pred_panoptic_seg`` in samples with boxes and map."""
        for sample in samples:
            panoptic = self._fuse(sample, sample.pred_sem_seg.sem_seg[0])
            sample.pred_panoptic_seg = PixelData(
                sem_seg=panoptic[None],
                metainfo=dict(label_names=self.label_names))

    def _fuse(self, sample: DetDataSample, seg: Tensor) -> Tensor:
        """Panoptic map ``(H, W)`` of a map of ids ``(H, W)``."""
        labels = sample.pred_instances.labels
        ids = self._lay_boxes(sample, seg)
        void = len(self.label_names)
        stuff = torch.full_like(seg, void).where(
            ids > 0,
            self._stuff_labels(seg.device)[seg])
        areas = torch.bincount(stuff.flatten(), minlength=void + 1)
        stuff[(areas < self.stuff_area_limit)[stuff]] = void
        if self.component_area_limit is not None:
            ids, labels = self._add_components(ids, labels, seg)
        if not len(labels):
            return stuff
        things = labels[ids.clamp(min=1) - 1] + INSTANCE_OFFSET * ids
        return things.where(ids > 0, stuff)

    def _stuff_labels(self, device: torch.device) -> Tensor:
        """Panoptic class of each segmentation id; void for things."""
        table = torch.full((self.class_map.num_seg_classes, ),
                           len(self.label_names))
        table[list(self.stuff_ids)] = torch.arange(
            self.class_map.num_det_classes, len(self.label_names))
        return table.to(device)

    def _lay_boxes(self, sample: DetDataSample, seg: Tensor) -> Tensor:
        """Which of all boxes a pixel belongs to, from 1; 0 for none."""
        boxes = sample.pred_instances
        chosen = (boxes.scores >= self.score_thr).nonzero()[:, 0]
        boxes = boxes[chosen]
        shows = self.class_map.compatible_on(seg.device).T[boxes.labels]
        if not self.same_class:
            things = self.class_map.compatible_on(seg.device).any(1)
            shows = shows.any(1, keepdim=True) & things
        # pixels with their centers in the boxes
        corners = (boxes.bboxes - 0.5).ceil().clamp(min=0).int().tolist()
        windows = [(slice(y0, y1), slice(x0, x1))
                   for x0, y0, x1, y1 in corners]
        masks = seg.new_zeros((len(boxes), *seg.shape), dtype=torch.bool)
        for mask, window, shown in zip(masks, windows, shows):
            mask[window] = shown[seg[window]]
        size = None
        if self.srm is not None:
            size = self.srm.to(seg.device).size(*unpadded_shape(sample))
        order = rank_instances(self.rank_mode, masks, boxes.labels,
                               boxes.scores, self.srm, size)
        ids = torch.zeros_like(seg)
        for i in order.tolist():
            mask, place = masks[i][windows[i]], ids[windows[i]]
            free = mask & (place == 0)
            kept = free.sum() >= (1 - self.mask_overlap) * mask.sum()
            place[free & kept] = chosen[i] + 1
        return ids

    def _add_components(self, ids: Tensor, labels: Tensor,
                        seg: Tensor) -> Tuple[Tensor, Tensor]:
        """Number what no box has after the boxes; with the labels of all."""
        shown = self.class_map.compatible_on(seg.device)
        only = torch.where(shown.sum(1) == 1, shown.int().argmax(1), -1)
        left = only[seg].masked_fill(ids > 0, -1).cpu().numpy()
        found, added = [], np.zeros_like(left)
        for label in np.unique(left[left >= 0]).tolist():
            mask = (left == label).astype(np.uint8)
            _, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
            large = stats[:, cv2.CC_STAT_AREA] >= self.component_area_limit
            large[0] = False  # what is not of the class
            numbers = len(labels) + len(found) + np.cumsum(large)
            added += np.where(large, numbers, 0)[parts]
            found += [label] * large.sum()
        return (ids + torch.from_numpy(added).to(ids),
                torch.cat([labels, labels.new_tensor(found)]))
