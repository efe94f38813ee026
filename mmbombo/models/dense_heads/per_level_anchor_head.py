# Copyright (c) mmbombo contributors.
from typing import List, NamedTuple, Optional, Tuple

import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.models.losses import QualityFocalLoss
from mmdet.structures.bbox import get_box_tensor
from mmdet.utils import (ConfigType, InstanceList, OptConfigType,
                         OptInstanceList, OptMultiConfig, reduce_mean)
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmbombo.models.task_heads.ignore_regions import IGNORED_LOGIT
from mmbombo.models.task_modules.iou_assigner import of_numbered_box
from mmbombo.models.utils.conv_block import conv_block
from mmbombo.registry import MODELS

BoxOutputs = Tuple[List[Tensor], List[Tensor]]


class DenseTargets(NamedTuple):
    """What each anchor is to learn."""
    labels: Tensor  #: ``(N, A)`` int64, ``num_classes`` for background
    #: ``(N, A, C)`` bool, the classes that the anchor learns nothing about
    ignored: Tensor
    qualities: Tensor  #: ``(N, A)``, soft target in [0, 1] of the label
    deltas: Tensor  #: ``(N, A, 4)`` encoded boxes
    box_weights: Tensor  #: ``(N, A)``, 0 where there is no box to learn


@MODELS.register_module()
class PerLevelAnchorHead(AnchorHead):
    """The anchor head of BoMBo's networks: every level has its own weights.

    Per level and branch: two 3x3 blocks and a 1x1 convolution. Anchors are
    assigned by :class:`IoUAssigner` or :class:`MutualGuideAssigner`; other
    assigners of MMDetection that look at priors alone fit too. MMDetection's
    anchors (but for a clamp), box coder, focal, quality focal and balanced L1
    losses are the paper's with the arguments below; decoding and NMS are
    MMDetection's.

    Normalization is the paper's too: the classification loss is divided by the
    number of positives, and the localization loss is the mean over the four
    offsets of the positives, weighted where the assigner gives weights. In
    distributed training both divisors are means over the ranks. Without a
    positive they are one and a small constant, so nothing is divided by zero.

    Anchors over padding are ordinary negatives.

    Args:
        num_classes (int): Number of classes, without background.
        in_channels (int): Channels of every level.
        feat_channels (int): Channels of the blocks. Defaults to 256.
        norm_cfg (dict): Config of the normalization. Defaults to
            ``dict(type='BN')``.
        anchor_generator (dict): Defaults to the paper's anchors.
        bbox_coder (dict): Defaults to variances 0.1 and 0.2.
        loss_cls (dict): Defaults to focal loss with alpha 0.25 and gamma 1.
            With Mutual Guide the paper takes ``dict(type=
            'mmdet.QualityFocalLoss', use_sigmoid=True, loss_weight=2.0)``.
        loss_bbox (dict): Defaults to balanced L1 with alpha 0.5, gamma 1.5
            and beta 0.11.
        train_cfg (dict, optional): ``dict(assigner=...)``. Defaults to None.
        test_cfg (dict, optional): Post-processing. Defaults to None.
        init_cfg (dict): Initialization config. Defaults to a first score of
            0.01 for every class.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        feat_channels: int = 256,
        norm_cfg: ConfigType = dict(type='BN'),
        anchor_generator: ConfigType = dict(
            type='mmbombo.ClampedAnchorGenerator',
            strides=[8, 16, 32, 64],
            octave_base_scale=3,
            scales_per_octave=2,
            ratios=[1.0, 0.5, 2.0],
            scale_major=False,
            center_offset=0.5),
        bbox_coder: ConfigType = dict(
            type='mmdet.DeltaXYWHBBoxCoder',
            target_means=[0., 0., 0., 0.],
            target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls: ConfigType = dict(
            type='mmdet.FocalLoss', use_sigmoid=True, alpha=0.25, gamma=1.0),
        loss_bbox: ConfigType = dict(
            type='mmdet.BalancedL1Loss', alpha=0.5, gamma=1.5, beta=0.11),
        train_cfg: OptConfigType = None,
        test_cfg: OptConfigType = None,
        init_cfg: OptMultiConfig = dict(
            type='Normal',
            std=0.01,
            override=[
                dict(type='Normal', name='conv_reg', std=0.01),
                dict(type='Normal', name='conv_cls', std=0.01, bias_prob=0.01)
            ])
    ) -> None:
        self.norm_cfg = norm_cfg
        super().__init__(
            num_classes,
            in_channels,
            feat_channels,
            anchor_generator=anchor_generator,
            bbox_coder=bbox_coder,
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            init_cfg=init_cfg)

    def _init_layers(self) -> None:
        """Two blocks and a final convolution per level and branch."""
        levels = range(self.prior_generator.num_levels)
        self.cls_blocks = nn.ModuleList(self._blocks() for _ in levels)
        self.reg_blocks = nn.ModuleList(self._blocks() for _ in levels)
        self.conv_cls = nn.ModuleList(
            nn.Conv2d(self.feat_channels, self.num_base_priors *
                      self.cls_out_channels, 1) for _ in levels)
        self.conv_reg = nn.ModuleList(
            nn.Conv2d(self.feat_channels, self.num_base_priors *
                      self.bbox_coder.encode_size, 1) for _ in levels)

    def _blocks(self) -> nn.Sequential:
        channels = self.feat_channels
        return nn.Sequential(
            conv_block(self.in_channels, channels, 3, self.norm_cfg),
            conv_block(channels, channels, 3, self.norm_cfg))

    def forward(self, x: Tuple[Tensor, ...]) -> BoxOutputs:
        """Class logits ``(N, A * num_classes, H_l, W_l)`` and encoded boxes
        ``(N, A * 4, H_l, W_l)`` of each level."""
        cls_scores = [
            conv(blocks(feat))
            for feat, blocks, conv in zip(x, self.cls_blocks, self.conv_cls)
        ]
        bbox_preds = [
            conv(blocks(feat))
            for feat, blocks, conv in zip(x, self.reg_blocks, self.conv_reg)
        ]
        return cls_scores, bbox_preds

    def loss_by_feat(
            self,
            cls_scores: List[Tensor],
            bbox_preds: List[Tensor],
            batch_gt_instances: InstanceList,
            batch_img_metas: List[dict],
            batch_gt_instances_ignore: OptInstanceList = None) -> dict:
        """``loss_cls`` and ``loss_bbox``, as in :class:`mmdet.AnchorHead`."""
        targets = self.dense_targets(cls_scores, bbox_preds,
                                     batch_gt_instances,
                                     batch_gt_instances_ignore)
        labels = targets.labels.flatten()
        num_positives = (labels < self.num_classes).sum().float()
        cls_target = labels
        if isinstance(self.loss_cls, QualityFocalLoss):
            cls_target = (labels, targets.qualities.flatten())
        logits = flatten_levels(cls_scores, self.num_classes)
        logits = logits.masked_fill(targets.ignored, IGNORED_LOGIT)
        loss_cls = self.loss_cls(
            logits.flatten(0, 1),
            cls_target,
            avg_factor=reduce_mean(num_positives).clamp(min=1))

        weights = targets.box_weights.flatten()
        loss_bbox = self.loss_bbox(
            flatten_levels(bbox_preds, 4).flatten(0, 1),
            targets.deltas.flatten(0, 1),
            weights[:, None].expand(-1, 4),
            avg_factor=4 * reduce_mean(weights.sum()).clamp(min=1e-6))
        return dict(loss_cls=loss_cls, loss_bbox=loss_bbox)

    @torch.no_grad()
    def dense_targets(self,
                      cls_scores: List[Tensor],
                      bbox_preds: List[Tensor],
                      gt_instances: InstanceList,
                      ignored: OptInstanceList = None) -> DenseTargets:
        """What all anchors of all levels are to learn."""
        priors = torch.cat(
            self.prior_generator.grid_priors(
                [x.shape[-2:] for x in cls_scores],
                device=cls_scores[0].device))
        ignored = ignored or [None] * len(gt_instances)
        predictions = [InstanceData(priors=priors)] * len(gt_instances)
        if getattr(self.assigner, 'needs_predictions', False):
            scores = flatten_levels(cls_scores, self.num_classes).sigmoid()
            deltas = flatten_levels(bbox_preds, 4)
            predictions = [
                InstanceData(
                    priors=priors,
                    bboxes=self.bbox_coder.decode(priors, delta),
                    scores=score) for score, delta in zip(scores, deltas)
            ]
        images = [
            self._image_targets(*image)
            for image in zip(predictions, gt_instances, ignored)
        ]
        return DenseTargets(*(torch.stack(x) for x in zip(*images)))

    def _image_targets(self, predictions: InstanceData, gt: InstanceData,
                       gt_ignored: Optional[InstanceData]) -> DenseTargets:
        """Targets of one image, without the first dimension."""
        result = self.assigner.assign(predictions, gt, gt_ignored)
        gt_inds = result.gt_inds
        labels = of_numbered_box(gt.labels, gt_inds, self.num_classes)

        ignored = (gt_inds < 0)[:, None].expand(-1, self.num_classes)
        ignored_labels = result.get_extra_property('ignored_labels')
        if ignored_labels is not None:  # one class, not all
            classes = torch.arange(self.num_classes, device=gt_inds.device)
            ignored = ignored_labels[:, None] == classes

        # Mutual Guide has another assignment, and weights, for the boxes
        box_gt_inds = result.get_extra_property('box_gt_inds')
        box_weights = result.get_extra_property('box_weights')
        qualities = result.max_overlaps
        if box_gt_inds is None:
            box_gt_inds = gt_inds
            box_weights = qualities = (gt_inds > 0).to(predictions.priors)

        priors = predictions.priors
        boxes = of_numbered_box(get_box_tensor(gt.bboxes), box_gt_inds, 0.)
        boxes = torch.where(box_gt_inds[:, None] > 0, boxes, priors)
        return DenseTargets(labels, ignored, qualities,
                            self.bbox_coder.encode(priors, boxes), box_weights)


def flatten_levels(levels: List[Tensor], channels: int) -> Tensor:
    """Put the anchors of all levels in one row, as the priors are.

    ``(N, sum of H_l * W_l * A_l, channels)`` in float32: sums over all anchors
    of a batch leave the range of half precision.
    """
    rows = [
        x.permute(0, 2, 3, 1).reshape(len(x), -1, channels) for x in levels
    ]
    return torch.cat(rows, dim=1).float()
