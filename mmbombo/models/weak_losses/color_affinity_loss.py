# Copyright (c) mmbombo contributors.
from typing import TYPE_CHECKING, Dict, List

import torch
import torch.nn.functional as F
from mmengine.model import ImgDataPreprocessor
from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.models.losses.color_affinity import color_affinity_loss
from mmbombo.models.losses.dist_mean import full_precision
from mmbombo.models.utils import select_images, valid_cells
from mmbombo.models.utils.color import denormalize, rgb_to_lab
from mmbombo.registry import MODELS
from mmbombo.structures import BBOX
from .base_weak_loss import BaseWeakLoss
from .padded_boxes import PaddedBoxes

if TYPE_CHECKING:
    from mmbombo.models.detectors import MultiTaskDetector


@MODELS.register_module()
class ColorAffinityLoss(BaseWeakLoss):
    """In boxes, neighbors of similar color should have the same label.

    See :func:`color_affinity_loss`. It works on the grid of the logits, with
    the mean color of each cell, and says nothing of which label it is: use
    it beside :class:`BoxProjectionLoss` or :class:`BoxForMaskLoss`. Difficult
    boxes do not count as boxes.

    Our reconstruction: that the paper has such a loss is not known. In our
    ablation it made both of them worse, so no config uses it. The figures are
    in ``docs/en/user_guides/weak_losses.md``, and for all runs in
    ``docs/en/notes/ablation.md``.

    Args:
        loss_weight (float): Weight of the loss. Defaults to 1.
        ramp (float): Share of the training over which the weight grows from
            0: early labels are not worth spreading. Defaults to 0.1.
        similarity_thr (float): See :func:`color_affinity_loss`. Defaults to
            0.3.
        dilation (int): Distance of neighbors in cells. Defaults to 2.

    Raises:
        ValueError: If a number is out of its range.
    """

    name = 'color_affinity'
    task = 'seg'
    source_kind = BBOX

    def __init__(self,
                 loss_weight: float = 1.,
                 ramp: float = 0.1,
                 similarity_thr: float = 0.3,
                 dilation: int = 2) -> None:
        super().__init__(loss_weight=loss_weight, ramp=ramp)
        if not 0 <= similarity_thr <= 1 or dilation < 1:
            raise ValueError(
                f'ColorAffinityLoss: similarity_thr={similarity_thr} must '
                f'lie in [0, 1] and dilation={dilation} be at least 1')
        self.similarity_thr = similarity_thr
        self.dilation = dilation

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise if the network's inputs cannot be turned into colors."""
        super().check_model(model)
        if not isinstance(model.data_preprocessor, ImgDataPreprocessor):
            raise ValueError(
                'ColorAffinityLoss looks at colors, but the normalization '
                f'of {type(model.data_preprocessor).__name__} is unknown; '
                "use data_preprocessor=dict(type='MultiTaskDataPreprocessor'"
                ', ...)')

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """Affinity loss on the logits.

        Args:
            ctx (StepContext): The current batch.
            images (list[int]): Positions of the images with boxes only.

        Returns:
            dict[str, Tensor]: ``loss_affinity``.
        """
        logits = full_precision(ctx.logits(self.task, images))
        samples = [ctx.samples[i] for i in images]
        size, image_size = logits.shape[-2:], ctx.inputs.shape[-2:]
        table = PaddedBoxes.from_samples(samples, ctx.class_map)
        classes = table.one_hot(table.certain, ctx.class_map.num_det_classes)
        inside = table.covered(classes, size, image_size).any(dim=1)
        valid = valid_cells(
            ctx.metas(images), size, image_size, logits.device)
        loss = color_affinity_loss(logits, self._colors(ctx, images,
                                                        size), inside, valid,
                                   self.similarity_thr, self.dilation)
        return dict(loss_affinity=loss)

    @torch.no_grad()
    def _colors(self, ctx: StepContext, images: List[int],
                size: torch.Size) -> Tensor:
        """Mean colors ``(n, 3, h, w)`` of the cells in CIELAB."""
        inputs = select_images(ctx.inputs, images, len(ctx.samples))
        rgb = denormalize(inputs, ctx.model.data_preprocessor)
        return rgb_to_lab(F.adaptive_avg_pool2d(rgb, size))
