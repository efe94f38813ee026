# Copyright (c) mmbombo contributors.
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.utils import ConfigType
from torch import Tensor, nn

from mmbombo.models.losses.dist_mean import full_precision, weighted_mean
from mmbombo.models.utils import grid_points
from mmbombo.registry import MODELS
from mmbombo.structures import (BBOX, IGNORE_INDEX, IMAGE_LABEL, SEM_SEG,
                                ClassMap)
from mmbombo.structures.image_labels import UNKNOWN
from mmbombo.utils import UserError


@MODELS.register_module()
class LocalTaskHead(nn.Module):
    """Learns from what an image is annotated with: a mask, else its boxes,
    filled; and tags.

    A 3x3 convolution, and linear layers: of pixels, with cross-entropy as
    InfoPro has it on Cityscapes, and of the mean over an image, one sigmoid
    per tag. Masks have their own size, boxes that of the map, where small ones
    lie on large ones. Pixels that an annotation says nothing of are ignored,
    as are images without any. All are means over all ranks.

    Args:
        in_channels (int): Channels of the map.
        num_classes (int): Classes of pixels. Defaults to 0, none are learned.
        num_tags (int): Classes of tags. Defaults to 0.
        class_map (dict, optional): Arguments of
            :class:`~mmbombo.structures.ClassMap`, from labels of boxes to
            classes of pixels. Defaults to None, which are the same.
        background_id (int, optional): Class of pixels outside all boxes, if
            there is no class map. Defaults to None, they are ignored.
        loss_stride (int): Pixels of the image, across and down, for one whose
            class is learned; logits of full size need much memory. Defaults
            to 1, as published.
        channels (int): Of the convolution. Defaults to 512.
        norm_cfg (dict): Defaults to batch normalization.
        dropout_ratio (float): Defaults to 0.1.
    """

    def __init__(self,
                 in_channels: int,
                 num_classes: int = 0,
                 num_tags: int = 0,
                 class_map: Optional[dict] = None,
                 background_id: Optional[int] = None,
                 loss_stride: int = 1,
                 channels: int = 512,
                 norm_cfg: ConfigType = dict(type='BN'),
                 dropout_ratio: float = 0.1) -> None:
        super().__init__()
        if not num_classes and not num_tags:
            raise UserError('LocalTaskHead: set num_classes, num_tags or both')
        self.outside, ids = background_id, None
        if class_map is not None:
            relation = ClassMap(**class_map)
            outside = relation.outside_ids
            self.outside = outside[0] if len(outside) == 1 else None
            ids = relation.det_to_seg
            ids = ids.where(ids >= 0, IGNORE_INDEX)
        self.register_buffer('labels', ids, persistent=False)
        self.loss_stride = loss_stride
        self.conv = ConvModule(
            in_channels, channels, 3, padding=1, norm_cfg=norm_cfg)
        self.dropout = nn.Dropout2d(dropout_ratio)
        self.pixels = nn.Conv2d(channels, num_classes,
                                1) if num_classes else None
        self.tags = nn.Linear(channels, num_tags) if num_tags else None

    def loss(self, feat: Tensor, samples: Sequence,
             size: Tuple[int, int]) -> Tensor:
        """The loss of a map ``(N, C, h, w)``; without samples, nothing is
        known of the images. ``size`` is that of the input."""
        hidden = self.conv(feat)
        losses = []
        if self.pixels:
            logits = full_precision(self.pixels(self.dropout(hidden)))
            ids = self.pixel_targets(feat, samples, size)
            logits = F.interpolate(
                logits,
                size=ids.shape[1:],
                mode='bilinear',
                align_corners=False)
            loss = F.cross_entropy(
                logits, ids, ignore_index=IGNORE_INDEX, reduction='none')
            losses.append(weighted_mean(loss, ids != IGNORE_INDEX))
        if self.tags:
            logits = full_precision(self.tags(hidden.mean(dim=(2, 3))))
            labels = torch.full_like(logits, UNKNOWN)
            for image, sample in enumerate(samples):
                if has(sample, IMAGE_LABEL, 'gt_image_label'):
                    labels[image] = sample.gt_image_label.label.to(labels)
            loss = F.binary_cross_entropy_with_logits(
                logits, labels.clamp(min=0), reduction='none')
            losses.append(weighted_mean(loss, labels != UNKNOWN))
        return sum(losses)

    def pixel_targets(self, feat: Tensor, samples: Sequence,
                      size: Tuple[int, int]) -> Tensor:
        """Class ids ``(N, H / loss_stride, W / loss_stride)`` of masks and
        filled boxes."""
        ids = torch.full((len(feat), *size),
                         IGNORE_INDEX,
                         dtype=torch.long,
                         device=feat.device)
        for image, sample in enumerate(samples):
            if has(sample, SEM_SEG, 'gt_sem_seg'):
                field = sample.gt_sem_seg
                mask = (field.sem_seg if 'sem_seg' in field else field.data)[0]
                ids[image, :mask.shape[0], :mask.shape[1]] = mask
            elif has(sample, BBOX,
                     'gt_instances') and ('bboxes' in sample.gt_instances):
                filled = self.fill_boxes(sample, feat.shape[-2:], size)
                ids[image] = F.interpolate(
                    filled[None, None].float(), size=size)[0, 0].long()
                height, width = sample.img_shape[:2]
                ids[image, height:] = IGNORE_INDEX
                ids[image, :, width:] = IGNORE_INDEX
        cells = [round(x / self.loss_stride) for x in size]
        return F.interpolate(
            ids[:, None].float(), size=cells, mode='nearest-exact')[:,
                                                                    0].long()

    def fill_boxes(self, sample, size: Tuple[int, int],
                   image_size: Tuple[int, int]) -> Tensor:
        """Class ids ``(h, w)`` of cells, by the smallest box around each."""
        found = sample.gt_instances
        boxes, labels = found.bboxes, found.labels
        classes = labels if self.labels is None else self.labels[labels]
        for name in ('ignored_instances', 'unlisted_instances'):
            other = sample.get(name)
            if other is not None and 'bboxes' in other:
                boxes = torch.cat([boxes, other.bboxes])
                classes = torch.cat(
                    [classes,
                     classes.new_full((len(other), ), IGNORE_INDEX)])
        # the whole image lies below all others
        everything = boxes.new_tensor([[0, 0, *image_size[::-1]]])
        x1, y1, x2, y2 = torch.cat([boxes, everything]).T[..., None, None]
        outside = self.outside
        if outside is None or sample.get('incomplete_labels'):
            outside = IGNORE_INDEX
        classes = F.pad(classes, (0, 1), value=outside)
        areas = (x2 - x1) * (y2 - y1)
        areas[-1] = torch.inf
        ys, xs = grid_points(size, image_size, boxes.device)
        ys, xs = ys[:, None], xs[None]
        inside = (x1 <= xs) & (xs < x2) & (y1 <= ys) & (ys < y2)
        # of a cell in no box all are infinite, the last is the image
        areas = areas.where(inside, torch.inf).flip(0)
        return classes.flip(0)[areas.argmin(dim=0)]


def has(sample, kind: str, field: str) -> bool:
    """Whether an image is annotated so; MMDetection's and MMSegmentation's
    own samples, which declare no kinds, are if they have the field."""
    kinds = sample.get('annotation_kinds')
    return field in sample and (kinds is None or kind in kinds)
