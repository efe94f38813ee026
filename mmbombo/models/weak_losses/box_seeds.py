# Copyright (c) mmbombo contributors.
"""Where the boxes of :class:`TagForBoxLoss` come from."""
from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, Dict, List, Optional

import torch
from mmdet.utils import ConfigType, InstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.models.seg_heads.region_head import regions_of
from mmbombo.registry import TASK_UTILS
from mmbombo.utils import UserError
from .base_weak_loss import decode_cfg

if TYPE_CHECKING:
    from mmbombo.models.detectors import MultiTaskDetector


class BoxSeeds(metaclass=ABCMeta):
    """Finds boxes of the classes that an image is known to show."""

    #: As that of :class:`BaseWeakLoss`.
    predictor = 'self'

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise ``UserError`` if the network cannot be asked."""

    @abstractmethod
    def head_images(self, images: List[int]) -> Dict[str, List[int]]:
        """See :meth:`BaseWeakLoss.head_images`."""

    @abstractmethod
    def __call__(self, ctx: StepContext, images: List[int],
                 shown: Tensor) -> InstanceList:
        """``bboxes`` and ``labels`` of n images in input pixels; ``shown``
        ``(n, D)`` bool are their detection classes."""


@TASK_UTILS.register_module()
class ProposalSeeds(BoxSeeds):
    """The proposal of each class that stands out most from around it.

    The proposals are the ``regions`` of the image.

    Args:
        maps (dict): Config of the maps: :class:`CAMMaps`,
            :class:`GuidedMaps`, or another :class:`ClassMaps`. Defaults to
            class activation maps.
        selector (dict): Config of what chooses.
    """

    def __init__(
        self,
        maps: ConfigType = dict(type='CAMMaps'),
        selector: ConfigType = dict(type='SaliencyGuidedSeedSelector')
    ) -> None:
        self.maps = TASK_UTILS.build(maps)
        self.selector = TASK_UTILS.build(selector)

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise ``UserError`` if the network cannot make the maps."""
        self.maps.check_model(model)

    def head_images(self, images: List[int]) -> Dict[str, List[int]]:
        """What the maps are made of."""
        return dict.fromkeys(self.maps.heads, images)

    def __call__(self, ctx: StepContext, images: List[int],
                 shown: Tensor) -> InstanceList:
        """At most one box of each class."""
        names = ctx.classes['det']
        label_of = torch.tensor(
            [names.index(x) if x in names else -1 for x in ctx.classes['cls']],
            device=shown.device)
        found = []
        for i, maps in zip(images, self.maps(ctx, images)):
            sample = ctx.samples[i]
            seeds = self.selector(
                regions_of(sample).bboxes, maps, sample.gt_image_label.label)
            labels = label_of[seeds.labels]
            instances = InstanceData(bboxes=seeds.boxes, labels=labels)
            found.append(instances[labels >= 0])
        return found


@TASK_UTILS.register_module()
class PredictedSeeds(BoxSeeds):
    """What a head or another network detects, of the classes that are shown.

    A tag promises an object: of each class the best box is kept even if no
    one is sure of it.

    Args:
        by (str): Who predicts: 'self', the network as it stands; 'ema', its
            moving average (:class:`PredictorEMAHook`); or the name of a
            :class:`TeacherHook`. Defaults to 'self'.
        head (str, optional): Name of another head for the task 'det'.
            Defaults to None, the one that is taught.
        score_thr (float): Boxes must score more. It suits the head: the
            scores of GFL rarely pass 0.5. Defaults to 0.4.
        best_thr (float): The best box of its class need only score more than
            this. Defaults to 0.05.
        max_predictions (int): Boxes of an image, of all classes. Defaults to
            100.
    """

    def __init__(self,
                 by: str = 'self',
                 head: Optional[str] = None,
                 score_thr: float = 0.4,
                 best_thr: float = 0.05,
                 max_predictions: int = 100) -> None:
        if best_thr > score_thr:
            raise UserError(f'PredictedSeeds: best_thr={best_thr} must not be '
                            f'above score_thr={score_thr}')
        self.predictor = by
        self.head = head
        self.score_thr = score_thr
        self.decode_cfg = decode_cfg(best_thr, max_predictions)

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise ``UserError`` if no head detects."""
        name = self.head or 'det'
        if self.predictor == 'self' and 'det' not in model.head(name).tasks:
            raise UserError(f"PredictedSeeds: the head '{name}' does not "
                            "serve the task 'det'")

    def head_images(self, images: List[int]) -> Dict[str, List[int]]:
        """Another head of the network runs too."""
        own = self.head and self.predictor == 'self'
        return {self.head: images} if own else {}

    def __call__(self, ctx: StepContext, images: List[int],
                 shown: Tensor) -> InstanceList:
        """None before the first update of a moving average."""
        predictions = ctx.predict('det', images, self.predictor,
                                  self.decode_cfg, self.head)
        if predictions is None:
            return [
                InstanceData(
                    bboxes=shown.new_zeros((0, 4), dtype=torch.float),
                    labels=shown.new_zeros(0, dtype=torch.long))
            ] * len(images)
        return [self._chosen(x, y) for x, y in zip(predictions, shown)]

    def _chosen(self, predicted: InstanceData, shown: Tensor) -> InstanceData:
        labels, scores = predicted.labels, predicted.scores
        best = scores.new_zeros(len(shown)).scatter_reduce(
            0, labels, scores, 'amax')
        sure = (scores > self.score_thr) | (scores == best[labels])
        return predicted[sure & shown[labels]]
