# Copyright (c) mmbombo contributors.
from typing import TYPE_CHECKING, Dict, List, Sequence, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from mmbombo.models.context import StepContext
from mmbombo.models.context.view import resize
from mmbombo.models.utils import valid_cells
from mmbombo.registry import MODELS
from mmbombo.structures import IGNORE_INDEX
from mmbombo.structures.candidate_map import CandidateMap
from mmbombo.structures.image_labels import ABSENT, IMAGE_LABEL, PRESENT
from mmbombo.utils import UserError
from mmbombo.weak_labels.cam import mean_cam, normalize_cam
from mmbombo.weak_labels.crf import CRFParams, DenseCRF, crf_params
from mmbombo.weak_labels.reliable_regions import reliable_regions
from .base_weak_loss import BaseWeakLoss

if TYPE_CHECKING:
    from mmbombo.models.detectors import MultiTaskDetector


@MODELS.register_module()
class TagForMaskLoss(BaseWeakLoss):
    """Supervise segmentation on images that have tags only.

    The class activation maps of the task 'cls' and two dense CRFs mark the
    pixels whose class is beyond doubt, see :func:`reliable_regions`. The loss
    is the segmentation head's own on the pixels of tags, plus its own on the
    rest of the reliable ones, which show some class that no tag is about:
    each a mean over its pixels, and 0 without any. A tag that is unknown, or
    no class of the segmentation, leaves the pixels of its map out.

    From `Reliability Does Matter <https://arxiv.org/abs/1911.08039>`_ (RRM)
    and its published code, whose rest is the background. What becomes of
    other classes is ours. Beside boxes and masks these labels are worse than
    what the network knows already: there train the classifier alone.

    Args:
        scales (Sequence[float]): Sizes of the images whose maps are averaged,
            1 being that of the step, which costs no forward pass of its own.
            Published are ``(1, .5, 1.5, 2)``. Defaults to (1, ).
        crf (str | dict): Parameters of the CRF, see :class:`CRFParams`.
            Defaults to 'rrm_label'.
        **kwargs: Arguments of :class:`BaseWeakLoss`. The maps are noise before
            the classifier has learned: give a ``start``.
    """

    name = 't4m'
    task = 'seg'
    source_kind = IMAGE_LABEL
    predictor = 'self'
    labels_pixels = True

    def __init__(self,
                 scales: Sequence[float] = (1., ),
                 crf: Union[str, dict] = 'rrm_label',
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.scales = tuple(scales)
        self.crf: CRFParams = crf_params(crf)

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise ``UserError`` if no head says which classes an image shows."""
        super().check_model(model)
        if 'cls' not in model.tasks:
            raise UserError(
                'TagForMaskLoss reads the class activation maps of the task '
                "'cls': give the model a head for it, task_heads=dict(cls="
                "dict(type='ClsTaskHead', ...))")
        tags = model.classes['cls']
        if len(tags) >= IGNORE_INDEX:
            raise UserError(f'TagForMaskLoss numbers up to {IGNORE_INDEX - 1} '
                            f'tags in a mask, not {len(tags)}')
        self.register_buffer(
            'candidates',
            candidates_of_tags(tags, model.classes['seg']),
            persistent=False)

    def images(self, ctx: StepContext) -> List[int]:
        """Images with tags, no mask, and no pseudo mask from boxes."""
        return [
            i for i in super().images(ctx)
            if 'pseudo_sem_seg' not in ctx.samples[i]
        ]

    def head_images(self, ctx: StepContext) -> Dict[str, List[int]]:
        """The classifier says what segmentation learns."""
        images = self.images(ctx)
        return dict(cls=images, seg=images)

    def loss(self, ctx: StepContext, images: List[int]) -> Dict[str, Tensor]:
        """Losses of the segmentation head, and the share of labeled pixels."""
        labels = self.pseudo_masks(ctx, images)
        ctx.pseudo_labels[self.task].update(
            zip(images, labels.single_classes()))
        is_rest = labels.numbers == 0
        losses: Dict[str, Tensor] = {}
        for part in (is_rest, ~is_rest):
            part_of = labels._replace(
                numbers=labels.numbers.masked_fill(~part, IGNORE_INDEX))
            for key, value in ctx.loss(self.task, part_of, images).items():
                if 'loss' in key:
                    losses[key] = losses.get(key, 0) + value
        return dict(losses, labeled=labels.known.float().mean())

    @torch.no_grad()
    def pseudo_masks(self, ctx: StepContext,
                     images: List[int]) -> CandidateMap:
        """The reliable pixels of n images.

        Number 0 is the rest, k is tag k - 1, and 255 unreliable.
        """
        tags = torch.stack(
            [ctx.samples[i].gt_image_label.label for i in images])
        masks = self._regions(ctx, images, tags)
        # a tag that is unknown, or no class of the segmentation, says nothing
        silent = F.pad(tags != PRESENT, (1, 0)) | ~self.candidates.any(1)
        index = masks.masked_fill(masks == IGNORE_INDEX, 0)
        silent = silent.gather(1, index.flatten(1)).view_as(masks)
        size = masks.shape[-2:]
        silent |= ~valid_cells(ctx.metas(images), size, size, masks.device)
        return CandidateMap(
            masks.masked_fill(silent, IGNORE_INDEX)[:, None],
            self.candidates.expand(len(images), -1, -1))

    def _regions(self, ctx: StepContext, images: List[int],
                 tags: Tensor) -> Tensor:
        """Reliable regions ``(n, H, W)``."""
        cams = mean_cam(self._maps(ctx, images))
        size = ctx.inputs.shape[-2:]
        masks = tags.new_full((len(images), *size),
                              IGNORE_INDEX,
                              dtype=torch.long)
        # one at a time: all classes at full resolution take much memory
        for i, mask, cam, label in zip(images, masks, cams, tags):
            height, width = ctx.samples[i].img_shape[:2]
            image = ctx.raw_images[i, :, :height, :width]
            shown = (label != ABSENT).nonzero()[:, 0]
            cam = cam.new_zeros(0, *size) if not len(shown) else resize(
                cam[None, shown], size)[0]
            found = reliable_regions(
                normalize_cam(cam[:, :height, :width]),
                DenseCRF(image, self.crf))
            numbers = F.pad(1 + shown, (1, 255 - len(shown)))
            numbers[IGNORE_INDEX] = IGNORE_INDEX
            mask[:height, :width] = numbers[found]
        return masks

    def _maps(self, ctx: StepContext, images: List[int]) -> List[Tensor]:
        """Class activation maps ``(n, C, h_i, w_i)`` of each scale."""
        return [
            ctx.outputs('cls', images)[1] if scale == 1 else ctx.view(
                images, scale).outputs('cls')[1] for scale in self.scales
        ]


def candidates_of_tags(tags: Sequence[str], names: Sequence[str]) -> Tensor:
    """What a pixel may show that has no tag (the first row: the classes that
    no tag names) or one of C tags, ``(1 + C, S)`` bool of S class names."""
    rows = [[name == tag for name in names] for tag in tags]
    shown = torch.tensor(rows).view(len(tags), len(names))
    if not shown.any():
        raise UserError(f'TagForMaskLoss: no tag of {list(tags)} is a class '
                        f'of the segmentation, {list(names)}')
    return torch.cat([~shown.any(0, keepdim=True), shown])
