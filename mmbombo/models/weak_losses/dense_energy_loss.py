# Copyright (c) mmbombo contributors.
from typing import TYPE_CHECKING, Dict, List, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.models.losses.dense_energy import dense_energy
from mmbombo.models.losses.dist_mean import full_precision
from mmbombo.models.utils import select_images, valid_cells
from mmbombo.registry import MODELS
from mmbombo.structures import IGNORE_INDEX, IMAGE_LABEL
from mmbombo.utils import UserError
from .base_weak_loss import BaseWeakLoss

#: The ``scale_factor`` at which the pairs of pixels are counted.
PUBLISHED_SCALE = 0.5

if TYPE_CHECKING:
    from mmbombo.models.detectors import MultiTaskDetector

#: What ``gate`` can be.
GATES = ('labeled', 'ones')


@MODELS.register_module()
class DenseEnergyLoss(BaseWeakLoss):
    """Make pixels alike in color and place show the same class.

    The dense energy of RRM (Zhang et al., AAAI 2020), see
    :func:`~mmbombo.models.losses.dense_energy.dense_energy`: a sum over all
    pairs of pixels, hence large, negative, and of a small weight. It is
    counted as if on maps of half the input's size, as published, so that one
    weight serves for all ``scale_factor``. The published filter has about half
    the amplitude of ours: its strength at 1e-7 is that of 5e-8 here.

    Where a weak loss before this one in the list has made a label, the gate
    is the doubt of the network, ``1 - max_c P_c``; elsewhere it is 1.

    Args:
        source_kind (str, optional): Annotation kind of the images, such as
            'bbox' beside :class:`BoxForMaskLoss`; None for every image. Those
            with a mask are left out. Defaults to 'image_label'.
        loss_weight (float): Weight of the loss. Defaults to 1e-7.
        sigma_xy (float): Of the places, in pixels of the input. Defaults to
            100.
        sigma_rgb (float): Of the colors, 0 to 255. Defaults to 15.
        scale_factor (float): Size of the maps that are compared to that of
            the input. Defaults to 0.25; published is 0.5.
        gate (str): 'labeled' or 'ones', 1 everywhere. Defaults to 'labeled'.
        exact_grad (bool): Whether the gradient is that of the energy where
            the gate is not 1. Defaults to False, the published one.
        **kwargs: ``start`` and ``ramp``.
    """

    name = 'energy'
    task = 'seg'

    def __init__(self,
                 source_kind: Optional[str] = IMAGE_LABEL,
                 loss_weight: float = 1e-7,
                 sigma_xy: float = 100.,
                 sigma_rgb: float = 15.,
                 scale_factor: float = 0.25,
                 gate: str = 'labeled',
                 exact_grad: bool = False,
                 **kwargs) -> None:
        super().__init__(loss_weight=loss_weight, **kwargs)
        if gate not in GATES:
            raise UserError(f'gate of DenseEnergyLoss must be one of {GATES}, '
                            f'not {gate!r}')
        self.source_kind = source_kind
        self.sigma_xy = sigma_xy
        self.sigma_rgb = sigma_rgb
        self.scale_factor = scale_factor
        self.gate = gate
        self.exact_grad = exact_grad

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise ``UserError`` if labels come after what asks for them."""
        super().check_model(model)
        losses = [*model.weak_losses]
        late = [x for x in losses[losses.index(self):] if x.labels_pixels]
        if late and self.gate == 'labeled':
            raise UserError(
                f'DenseEnergyLoss reads the labels of {type(late[0]).__name__}'
                ": put it after that one in weak_losses, or set gate='ones'")

    def images(self, ctx: StepContext) -> List[int]:
        """Positions of the images of the kind, without a mask."""
        if self.source_kind is not None:
            return super().images(ctx)
        annotated = self.annotated(ctx)
        return [i for i in range(len(ctx.samples)) if i not in annotated]

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """``loss_energy``, the mean over the images."""
        full = ctx.inputs.shape[-2:]
        size = [max(1, round(x * self.scale_factor)) for x in full]
        probs = full_precision(ctx.logits(self.task, images)).softmax(dim=1)
        probs = F.interpolate(probs, size, mode='bilinear')
        colors = select_images(ctx.raw_images, images, len(ctx.samples))
        colors = F.interpolate(colors, size, mode='area')
        inside = valid_cells(ctx.metas(images), size, full, probs.device)
        inside = inside[:, None].to(probs)
        gate = self._gate(ctx, images, probs.detach(), inside)
        energy = dense_energy(probs, colors, inside, gate,
                              self.sigma_xy * self.scale_factor,
                              self.sigma_rgb, self.exact_grad)
        pairs = (PUBLISHED_SCALE / self.scale_factor)**4
        return dict(loss_energy=energy.mean() * pairs)

    def _gate(self, ctx: StepContext, images: List[int], probs: Tensor,
              inside: Tensor) -> Tensor:
        """How much a pixel counts ``(n, 1, H, W)``."""
        labels = ctx.pseudo_labels[self.task]
        if self.gate == 'ones' or not labels:
            return torch.ones_like(inside)
        nothing = torch.full_like(next(iter(labels.values())), IGNORE_INDEX)
        known = torch.stack([labels.get(i, nothing) for i in images])
        known = (known != IGNORE_INDEX).to(probs)
        known = F.interpolate(known, probs.shape[-2:], mode='nearest') > 0
        doubt = (inside - probs.amax(dim=1, keepdim=True)).clamp(min=0)
        return doubt.where(known, 1.)
