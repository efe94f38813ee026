# Copyright (c) mmbombo contributors.
"""Where an image shows each of its tags: maps in which seeds are looked for.

They are asked, in a step, for the maps of some images with tags.
"""
from typing import TYPE_CHECKING, List, Sequence, Tuple

import torch
from torch import Tensor

from mmbombo.models.context.view import resize
from mmbombo.models.layers.guided_relu import guided_relus
from mmbombo.models.utils import evaluation_mode, select_images
from mmbombo.registry import TASK_UTILS
from mmbombo.structures.image_labels import PRESENT
from mmbombo.utils import UserError
from mmbombo.weak_labels.cam import mean_cam, normalize_cam
from mmbombo.weak_labels.dcsm import distinct_class_saliency

if TYPE_CHECKING:
    from mmbombo.models.context import StepContext
    from mmbombo.models.detectors import MultiTaskDetector


class ClassMaps:
    """Maps of the classes of the task 'cls'.

    Attributes:
        heads (tuple[str]): Each a :class:`ClsTaskHead` that must run on the
            images.
    """

    heads: Tuple[str, ...] = ()

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise ``UserError`` if a head is missing, or finds boxes, too."""
        for name in self.heads:
            if tuple(model.head(name).tasks) != ('cls', ):
                raise UserError(
                    f'{type(self).__name__} reads activation maps of the head '
                    f"'{name}': give the model a ClsTaskHead of that name")

    def __call__(self, ctx: 'StepContext',
                 images: Sequence[int]) -> List[Tensor]:
        """Maps ``(C, H, W)`` in 0..1 of each image, as large as it is without
        padding; those of absent classes are not read."""
        raise NotImplementedError


@TASK_UTILS.register_module()
class CAMMaps(ClassMaps):
    """Class activation maps, by themselves or as far as they are salient.

    With saliency, the square root of the product of both.

    Args:
        head (str): Name of the :class:`ClsTaskHead`. Defaults to 'cls'.
        scales (Sequence[float]): Sizes of the images whose maps are averaged,
            1 being that of the step. Defaults to (1, ).
        saliency (bool): Whether images have the kind ``saliency``. Defaults
            to False.
    """

    def __init__(self,
                 head: str = 'cls',
                 scales: Sequence[float] = (1., ),
                 saliency: bool = False) -> None:
        self.heads = (head, )
        self.scales = tuple(scales)
        self.saliency = saliency

    def __call__(self, ctx: 'StepContext',
                 images: Sequence[int]) -> List[Tensor]:
        """See :meth:`ClassMaps.__call__`."""
        head = self.heads[0]
        cams = mean_cam([
            ctx.outputs(head, images)[1] if scale == 1 else ctx.view(
                images, scale).outputs(head)[1] for scale in self.scales
        ])
        cams = resize(cams, ctx.inputs.shape[-2:])
        return [self._map(cam, ctx.samples[i]) for cam, i in zip(cams, images)]

    def _map(self, cam: Tensor, sample) -> Tensor:
        cam = normalize_cam(without_padding(cam, sample))
        if not self.saliency:
            return cam
        if 'gt_saliency' not in sample:
            raise UserError(
                f'{sample.get("img_path")} has no saliency map: let its source'
                " declare the kind 'saliency', or set saliency=False")
        saliency = without_padding(sample.gt_saliency.data, sample)
        return (cam * saliency.clamp(min=0)).sqrt()


@TASK_UTILS.register_module()
class GuidedMaps(ClassMaps):
    """Distinct class-specific saliency maps by guided backpropagation, see
    :func:`distinct_class_saliency`.

    Those of the classes of an image are told from one another; that of a
    single one from the two others with the highest scores.

    Args:
        layers (Sequence[str]): Modules of the network whose outputs'
            gradients are looked at, published ``backbone.features.N`` of VGG16
            with N in (28, 26, 24, 21, 19, 17, 14, 12, 10): conv5_3 to
            conv3_1.
        head (str): Name of the :class:`ClsTaskHead` whose scores are
            explained. Defaults to 'cls'.
    """

    def __init__(self, layers: Sequence[str], head: str = 'cls') -> None:
        self.layers = tuple(layers)
        self.heads = (head, )

    def __call__(self, ctx: 'StepContext',
                 images: Sequence[int]) -> List[Tensor]:
        """See :meth:`ClassMaps.__call__`."""
        samples = [ctx.samples[i] for i in images]
        inputs = select_images(ctx.inputs, images, len(ctx.samples))
        shown = torch.stack([x.gt_image_label.label for x in samples])
        shown = shown == PRESENT
        logits, gradients = self._gradients(ctx.model, inputs, samples, shown)
        maps = []
        for i, sample in enumerate(samples):
            classes = distinct_classes(logits[i], shown[i])
            found = inputs.new_zeros(len(shown[i]), *inputs.shape[-2:])
            if len(classes) > 1:
                found[classes] = distinct_class_saliency(
                    [x[:len(classes), i] for x in gradients],
                    inputs.shape[-2:])
            maps.append(without_padding(found, sample))
        return maps

    @torch.enable_grad()
    def _gradients(self, model, inputs: Tensor, samples: list,
                   shown: Tensor) -> Tuple[Tensor, List[Tensor]]:
        """Logits ``(n, C)``, and of each layer the greatest gradients ``(K, n,
        h, w)``, the k-th of the k-th of the image's distinct classes."""
        head = model.head(self.heads[0])
        found: list = []
        hooks = [
            model.get_submodule(name).register_forward_hook(
                lambda module, args, output: found.append(output))
            for name in self.layers
        ]
        try:
            with evaluation_mode(model), guided_relus(model):
                inputs = inputs.detach().requires_grad_()
                logits = head(model.extract_feat(inputs), samples)[0]
        finally:
            for hook in hooks:
                hook.remove()
        classes = [distinct_classes(*x) for x in zip(logits, shown)]
        gradients = []
        for k in range(max(map(len, classes))):
            score = sum(x[c[k]] for x, c in zip(logits, classes) if k < len(c))
            gradients.append([
                x.amax(1)
                for x in torch.autograd.grad(score, found, retain_graph=True)
            ])
        return logits.detach(), [torch.stack(x) for x in zip(*gradients)]


@TASK_UTILS.register_module()
class MaskMaps(ClassMaps):
    """Maps of the user's: each tag is where a mask shows its class.

    Images have the kind ``sem_seg``, whose names of classes, the model's
    ``classes['seg']``, are those of the tags. No head needs to learn it.
    """

    def check_model(self, model: 'MultiTaskDetector') -> None:
        """Raise ``UserError`` if no one names the classes of the masks."""
        if 'seg' not in model.classes:
            raise UserError("MaskMaps reads masks: name their classes in "
                            "model.classes['seg']")

    def __call__(self, ctx: 'StepContext',
                 images: Sequence[int]) -> List[Tensor]:
        """See :meth:`ClassMaps.__call__`."""
        maps = []
        for i in images:
            sample = ctx.samples[i]
            if 'gt_sem_seg' not in sample:
                raise UserError(
                    f'{sample.get("img_path")} has no mask: let its source '
                    "declare the kind 'sem_seg'")
            ids = without_padding(sample.gt_sem_seg.sem_seg, sample)
            names = ctx.classes['seg']
            maps.append(
                torch.cat([
                    ids == (names.index(tag) if tag in names else -1)
                    for tag in ctx.classes['cls']
                ]).float())
        return maps


def distinct_classes(logits: Tensor, shown: Tensor) -> Tensor:
    """Which of C classes are told apart: those shown, or one and the two
    others of the highest score."""
    classes = shown.nonzero()[:, 0]
    if len(classes) == 1:
        others = logits.masked_fill(shown, -torch.inf)
        others = others.topk(min(2, len(logits) - 1)).indices
        classes = torch.cat([classes, others])
    return classes


def without_padding(maps: Tensor, sample) -> Tensor:
    """The part of maps ``(C, H, W)`` that is of the image."""
    height, width = sample.img_shape[:2]
    return maps[:, :height, :width]
