# Copyright (c) mmbombo contributors.
from abc import abstractmethod
from typing import Dict, Iterable, Sequence

import torch
from mmdet.structures import DetDataSample, SampleList
from mmengine.dataset import BaseDataset
from PIL.Image import Image
from torch import Tensor, nn

from mmbombo.structures import IGNORE_INDEX, ClassMap
from mmbombo.structures.image_labels import ABSENT
from mmbombo.utils import UserError
from mmbombo.visualization import class_styles, label_map_image
from mmbombo.weak_labels.implied_labels import ImpliedLabels
from .pseudo_label_writer import PseudoLabelWriter


class MaskWriter(PseudoLabelWriter):
    """Base class of what writes masks.

    Attributes:
        rules (Tensor): Which tag may belong to which segmentation class, see
            :func:`tag_rules`; known once :meth:`prepare` is called.
    """
    folders = dict(
        masks="8-bit palette PNG: ids of the network's segmentation classes, "
        'and 255')

    def prepare(self, model: nn.Module, dataset: BaseDataset) -> None:
        """Look up the names and colors of the ids, and what tags allow."""
        names = seg_classes(model, dataset)
        self.styles = class_styles(dict(dataset.metainfo,
                                        seg_classes=names))[1]
        self.rules = tag_rules(model, dataset)

    def write(self, model: nn.Module, inputs: Tensor,
              samples: SampleList) -> Iterable[Dict[str, Image]]:
        """Make the mask of each image."""
        for ids in self.ids(model, inputs, samples):
            yield dict(masks=label_map_image(ids.cpu().numpy(), self.styles))

    @abstractmethod
    def ids(self, model: nn.Module, inputs: Tensor,
            samples: SampleList) -> Iterable[Tensor]:
        """Class ids ``(H, W)`` of each image at its original size, and 255."""


def label_ids(scores: Tensor, threshold: float) -> Tensor:
    """The best class ``(H, W)`` of scores ``(C, H, W)``, or 255."""
    best, ids = scores.max(dim=0)
    # not a number, where no class is possible, reaches nothing
    ids[~(best >= threshold)] = IGNORE_INDEX
    return ids


def seg_classes(model: nn.Module, dataset: BaseDataset) -> Sequence[str]:
    """Names of the ids: the model's, or the data set's of a classifier."""
    names = model.classes.get('seg') or dataset.metainfo.get('seg_classes')
    if not names:
        raise UserError(
            "masks need the names of their ids: give the source metainfo="
            "dict(seg_classes=('background', ...))")
    return names


def tag_rules(model: nn.Module, dataset: BaseDataset) -> Tensor:
    """Which tag ``(T, C)`` may belong to which segmentation class."""
    tags = (
        dataset.metainfo.get('cls_classes') or model.classes.get('cls', ()))
    names = seg_classes(model, dataset)
    if not tags:
        return torch.zeros(0, len(names), dtype=torch.bool)
    class_map = model.class_map or ClassMap(tags, names, background=None)
    return torch.from_numpy(ImpliedLabels(class_map, tags).may_seg)


def possible_classes(sample: DetDataSample, rules: Tensor) -> Tensor:
    """Segmentation classes ``(C, )`` that the tags of an image leave.

    A class is ruled out if there are tags for it, and all are absent.
    """
    may_be = ~rules.any(0)
    if 'gt_image_label' not in sample:
        return torch.ones_like(may_be)
    seen = sample.gt_image_label.label.cpu() != ABSENT
    return may_be | rules[seen].any(0)
