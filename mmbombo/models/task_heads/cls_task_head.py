# Copyright (c) mmbombo contributors.
from typing import Callable, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmdet.structures import OptSampleList, SampleList
from mmdet.utils import ConfigType, OptMultiConfig
from mmengine.structures import LabelData
from torch import Tensor, nn

from mmbombo.models.losses.dist_mean import full_precision, weighted_mean
from mmbombo.models.utils import valid_cells
from mmbombo.registry import MODELS
from mmbombo.structures.class_names import TaskClasses
from mmbombo.structures.image_labels import IMAGE_LABEL, UNKNOWN, only_classes
from .base_task_head import BaseTaskHead, require_map, require_num_classes


@MODELS.register_module()
class ClsTaskHead(BaseTaskHead):
    """Multi-label classification: which classes does an image show?

    Global average pooling and a 1x1 convolution. The same convolution of the
    features before the pooling gives the class activation maps, whose mean
    over the image is the logit (but for the dropout, which leaves the maps
    alone). The padding of a batch is no part of the image.

    The loss is the multi-label soft margin loss (binary cross-entropy of each
    class), as a mean over all classes that are known to be present or absent,
    of all images of all ranks.

    Args:
        num_classes (int): Number of classes, C.
        in_channels (int): Channels of the feature map.
        in_index (int): Which feature map the head reads.
        loss_weight (float): Weight of the loss. Defaults to 1.
        dropout_ratio (float): Share of the channels that the logits do
            without in training. Defaults to 0.
        bias (bool): Whether the convolution has a bias. Defaults to True.
        init_cfg (dict, optional): Initialization config. Defaults to a normal
            distribution of deviation 0.01.
    """

    tasks = ('cls', )
    annotation_kind = IMAGE_LABEL

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        in_index: int,
        loss_weight: float = 1.,
        dropout_ratio: float = 0.,
        bias: bool = True,
        init_cfg: OptMultiConfig = dict(
            type='Normal', layer='Conv2d', std=0.01)
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.num_classes = num_classes
        self.in_index = in_index
        self.loss_weight = loss_weight
        self.dropout = nn.Dropout2d(dropout_ratio)
        self.classifier = nn.Conv2d(in_channels, num_classes, 1, bias=bias)

    def check_classes(self, classes: TaskClasses) -> None:
        """Raise if the number of classes is not that of the task."""
        require_num_classes(self, 'cls', classes, self.num_classes)

    def check_features(self, feats: Tuple[Tensor, ...],
                       image_size: int) -> None:
        """Raise if there is no such map, or it has other channels."""
        require_map(self, feats, self.in_index, self.classifier.in_channels)

    def forward(self,
                feats: Tuple[Tensor, ...],
                samples: OptSampleList = None) -> Tuple[Tensor, Tensor]:
        """Classify images, each over its own extent in the batch.

        Returns:
            tuple[Tensor]: Logits ``(N, C)`` and class activation maps
            ``(N, C, h, w)``.
        """
        feat = feats[self.in_index]
        if samples is None:
            pooled = feat.mean((2, 3), keepdim=True)
        else:
            metas = [sample.metainfo for sample in samples]
            inside = valid_cells(metas, feat.shape[-2:],
                                 metas[0]['batch_input_shape'], feat.device)
            # an image has a cell of its own, however small
            count = inside.sum((1, 2), keepdim=True).clamp(min=1)
            share = (inside / count).to(feat)
            # a sum of products, without a copy of the many channels
            pooled = (feat.flatten(2) @ share.flatten(1)[..., None])[..., None]
        logits = self.classifier(self.dropout(pooled)).flatten(1)
        return logits, self.classifier(feat)

    def targets(self, task: str, samples: SampleList) -> Tuple[Tensor, None]:
        """Labels ``(n, C)`` int8: 1 present, 0 absent, -1 unknown."""
        return torch.stack([x.gt_image_label.label for x in samples]), None

    def loss_on_targets(self,
                        task: str,
                        outputs: Tuple[Tensor, Tensor],
                        targets: Tensor,
                        metas: Sequence[dict],
                        ignore: None = None) -> dict:
        """The multi-label soft margin loss on labels ``(n, C)``.

        A label is 1, 0, or -1 where nothing is known; values between 0 and 1
        are soft.
        """
        logits = full_precision(outputs[0])
        known = targets != UNKNOWN
        loss = F.binary_cross_entropy_with_logits(
            logits, targets.clamp(min=0).to(logits), reduction='none')
        return dict(loss_cls=self.loss_weight * weighted_mean(loss, known))

    def decode(self,
               task: str,
               outputs: Tuple[Tensor, Tensor],
               metas: Sequence[dict],
               cfg: Optional[ConfigType] = None) -> Tensor:
        """Probabilities ``(n, C)``, each class by itself."""
        return full_precision(outputs[0]).sigmoid()

    @torch.no_grad()
    def add_predictions(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                        samples: SampleList, extract_feat: Callable) -> None:
        """Store ``pred_image_label`` with the ``score`` ``(C, )`` of each."""
        self.store_scores(samples, self(feats, samples))

    def store_scores(self, samples: SampleList,
                     outputs: Tuple[Tensor, Tensor]) -> None:
        """Store ``pred_image_label`` of outputs in the samples."""
        scores = self.decode('cls', outputs, [])
        for sample, score in zip(samples, scores):
            sample.pred_image_label = LabelData(score=score)


@MODELS.register_module()
class SingleLabelTaskHead(ClsTaskHead):
    """Classification of images that show one class each: softmax.

    The loss is the cross-entropy, as a mean over all images of all ranks of
    which exactly one class is known to be present. Arguments are those of the
    base class.
    """

    def loss_on_targets(self,
                        task: str,
                        outputs: Tuple[Tensor, Tensor],
                        targets: Tensor,
                        metas: Sequence[dict],
                        ignore: None = None) -> dict:
        """The cross-entropy on labels ``(n, C)``."""
        classes, known = only_classes(targets)
        loss = F.cross_entropy(
            full_precision(outputs[0]), classes, reduction='none')
        return dict(loss_cls=self.loss_weight * weighted_mean(loss, known))

    def decode(self,
               task: str,
               outputs: Tuple[Tensor, Tensor],
               metas: Sequence[dict],
               cfg: Optional[ConfigType] = None) -> Tensor:
        """Probabilities ``(n, C)``, which add up to 1."""
        return full_precision(outputs[0]).softmax(1)
