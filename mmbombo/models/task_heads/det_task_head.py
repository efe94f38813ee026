# Copyright (c) mmbombo contributors.
from typing import Any, Callable, List, Optional, Sequence, Tuple

import torch
from mmdet.models.dense_heads import (AutoAssignHead, CenterNetUpdateHead,
                                      CondInstBboxHead, FCOSHead,
                                      GuidedAnchorHead, RepPointsHead, RPNHead,
                                      RTMDetInsHead, TOODHead, VFNetHead,
                                      YOLACTHead, YOLOV3Head, YOLOXHead)
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.structures import OptSampleList, SampleList
from mmdet.utils import ConfigType, InstanceList, OptConfigType, OptMultiConfig
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmbombo.models.losses.dist_mean import full_precision
from mmbombo.models.utils import prior_offset
from mmbombo.registry import MODELS
from mmbombo.structures import BBOX
from mmbombo.structures.class_names import TaskClasses
from mmbombo.utils import UserError
from .base_task_head import (BaseTaskHead, library_scope, overridden,
                             require_num_classes)
from .ignore_regions import (IGNORED_LOGIT, IgnoreRegions, boxes_and_classes,
                             ignored_cells)
from .level_strides import check_level_strides

#: Dense heads that need more than boxes, or more than one stage, or have
#: parameters of which their outputs do not show whether they are trained.
UNSUPPORTED_HEADS = (AutoAssignHead, CondInstBboxHead, GuidedAnchorHead,
                     RPNHead, RTMDetInsHead, YOLACTHead)

#: Heads to which a class logit of no score does not say "ignore", and why.
CANNOT_IGNORE = {
    TOODHead:
    'it gives probabilities, not logits',
    (YOLOV3Head, YOLOXHead):
    'it learns from every cell whether there is an object at all'
}

#: Heads whose outputs in training are not those of evaluation.
MODE_DEPENDENT_HEADS = (CenterNetUpdateHead, RepPointsHead, VFNetHead)


@MODELS.register_module()
class DetTaskHead(BaseTaskHead):
    """Detection with a dense head of MMDetection, unchanged.

    Args:
        head (dict): Config of the head, such as ``model.bbox_head`` of a
            stock config. Types without a prefix are MMDetection's.
        in_indices (Sequence[int], optional): Which feature maps the head
            gets. Defaults to None, all of them.
        train_cfg (dict, optional): ``model.train_cfg`` of the stock config.
            Defaults to None.
        test_cfg (dict, optional): ``model.test_cfg`` of the stock config.
            Defaults to None.
        init_cfg (dict, optional): Initialization config. Defaults to None.
    """

    tasks = ('det', )
    annotation_kind = BBOX

    def __init__(self,
                 head: ConfigType,
                 in_indices: Optional[Sequence[int]] = None,
                 train_cfg: OptConfigType = None,
                 test_cfg: OptConfigType = None,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg=init_cfg)
        head = library_scope(head, 'mmdet')
        head.setdefault('train_cfg', train_cfg)
        head.setdefault('test_cfg', test_cfg)
        self.head = MODELS.build(head)
        check_dense_head(self.head)
        self.in_indices = in_indices

    @property
    def num_classes(self) -> int:
        """int: Number of detection classes."""
        return self.head.num_classes

    @property
    def test_cfg(self) -> ConfigDict:
        """ConfigDict: Post-processing of the head."""
        return self.head.test_cfg

    def check_classes(self, classes: TaskClasses) -> None:
        """Raise if the number of classes is not that of the task."""
        require_num_classes(self.head, 'det', classes, self.num_classes)

    def check_features(self, feats: Tuple[Tensor, ...],
                       image_size: int) -> None:
        """Raise if the head's strides are not those of its maps."""
        check_level_strides(self.head, feats, self.in_indices, image_size)

    def forward(self,
                feats: Tuple[Tensor, ...],
                samples: OptSampleList = None) -> Tuple[List[Tensor], ...]:
        """Per kind of output of the head, a map per level."""
        if self.in_indices is not None:
            feats = tuple(feats[i] for i in self.in_indices)
        return self.head(feats)

    def targets(
            self, task: str, samples: SampleList
    ) -> Tuple[InstanceList, Optional[IgnoreRegions]]:
        """Ground-truth boxes, and the crowd and difficult ones to ignore."""
        ignore = IgnoreRegions.from_instances(
            [sample.ignored_instances for sample in samples], self.num_classes)
        return [sample.gt_instances for sample in samples], ignore

    def loss_on_targets(self, task: str, outputs: Tuple[List[Tensor], ...],
                        targets: InstanceList, metas: Sequence[dict],
                        ignore: Optional[IgnoreRegions]) -> dict:
        """The dense head's loss on boxes in input pixels.

        Most heads of MMDetection do not read ignored boxes, so ignoring is
        done here, for all heads alike: the class logits of ignored cells are
        replaced by a constant that costs nothing and has no gradient.
        """
        if ignore is not None:
            cls_scores, *others = outputs
            outputs = (self._without_ignored(cls_scores, targets,
                                             ignore), *others)
        return self.head.loss_by_feat(*outputs, targets, list(metas), None)

    def _without_ignored(self, cls_scores: List[Tensor], targets: InstanceList,
                         ignore: IgnoreRegions) -> List[Tensor]:
        """Replace the class logits of ignored cells, level by level."""
        boxes, classes = boxes_and_classes(targets, self.num_classes)
        priors = self.head.prior_generator
        offset = prior_offset(priors)
        masked = []
        for scores, stride in zip(cls_scores, priors.strides):
            cells = ignored_cells(ignore, boxes, classes, scores.shape[-2:],
                                  stride, offset)
            per_anchor = scores.unflatten(1, (-1, self.num_classes))
            masked.append(
                per_anchor.masked_fill(cells[:, None],
                                       IGNORED_LOGIT).flatten(1, 2))
        return masked

    def as_evaluation_outputs(self, outputs: Any) -> Optional[Any]:
        """Read training outputs as those of evaluation.

        FCOS gives distances in strides while it trains and in pixels
        otherwise; most heads make no difference.
        """
        if not self.head.training:
            return outputs
        if isinstance(self.head, MODE_DEPENDENT_HEADS):
            return None
        if isinstance(self.head, FCOSHead) and self.head.norm_on_bbox:
            cls_scores, bbox_preds, *others = outputs
            bbox_preds = [
                x * stride for x, stride in zip(bbox_preds, self.head.strides)
            ]
            return (cls_scores, bbox_preds, *others)
        return outputs

    def decode(self,
               task: str,
               outputs: Tuple[List[Tensor], ...],
               metas: Sequence[dict],
               cfg: Optional[ConfigType] = None) -> InstanceList:
        """Boxes in input pixels, after NMS; ``cfg`` replaces ``test_cfg``."""
        # an update would merge the ``nms`` of either
        merged = ConfigDict({**self.test_cfg.to_dict(), **(cfg or {})})
        return self._boxes(outputs, metas, rescale=False, cfg=merged)

    def _boxes(self, outputs: Tuple[List[Tensor], ...], metas: Sequence[dict],
               **kwargs) -> InstanceList:
        """Boxes after NMS.

        In full precision, also under AMP: boxes in bfloat16 are off by a
        pixel or more, and NMS on a CPU does not take them.
        """
        outputs = [[full_precision(x) for x in maps] for maps in outputs]
        with torch.autocast(outputs[0][0].device.type, enabled=False):
            return self.head.predict_by_feat(
                *outputs, batch_img_metas=list(metas), **kwargs)

    @torch.no_grad()
    def add_predictions(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                        samples: SampleList, extract_feat: Callable) -> None:
        """Store ``pred_instances`` at the original size in the samples."""
        metas = [sample.metainfo for sample in samples]
        results = self._boxes(self(feats), metas, rescale=True)
        for sample, result in zip(samples, results):
            sample.pred_instances = result


def check_dense_head(head: nn.Module) -> None:
    """Raise ``UserError`` for a head that does not fit the adapter."""
    problem = find_misfit(head)
    if problem:
        raise UserError(
            f'DetTaskHead cannot use {type(head).__name__}: {problem}')


def find_misfit(head: nn.Module) -> Optional[str]:
    """Say why the adapter cannot use a head, if it cannot."""
    if not isinstance(head, BaseDenseHead):
        return ('it takes one-stage dense heads (RetinaHead, FCOSHead, '
                'GFLHead, ATSSHead, RTMDetHead, ...), not two-stage, cascade, '
                'query, mask or keypoint heads')
    if overridden(head, BaseDenseHead, ['loss', 'predict']) or isinstance(
            head, UNSUPPORTED_HEADS):
        return ('its loss needs more than the boxes of an image and its '
                'outputs')
    for kind, reason in CANNOT_IGNORE.items():
        if isinstance(head, kind):
            return f'{reason}, so its cells cannot be ignored'
    if not hasattr(head, 'prior_generator'):
        return 'it has no prior_generator, so its cells cannot be ignored'
    if not getattr(head, 'use_sigmoid_cls', False):
        return ('its classes share a softmax, or it does not say by '
                'use_sigmoid_cls that each has a sigmoid of its own: classes '
                'must be ignored one by one. Use a sigmoid classification '
                'loss (use_sigmoid=True)')
    return None
