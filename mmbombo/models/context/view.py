# Copyright (c) mmbombo contributors.
from contextlib import ExitStack
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample, SampleList
from torch import Tensor, nn

from mmbombo.models.utils import evaluation_mode
from mmbombo.models.utils.local_step import batch_samples

#: Meta information that is a (height, width) in input pixels.
SHAPES = ('img_shape', 'pad_shape', 'batch_input_shape')


class View:
    """Some images of a step at another scale, flipped or altered.

    Features and outputs are computed when they are first asked for, and once.

    Args:
        network (nn.Module): A :class:`MultiTaskDetector`.
        inputs (Tensor): Images ``(n, 3, H, W)``, normalized.
        samples (list[:obj:`DetDataSample`]): Their samples; not changed.
        scale (float): Of both sides.
        flip (bool): Whether to mirror them, left to right.
        alter (Callable, optional): What else to do to the inputs.
        train (bool): Whether the network stays in its mode.
        with_grad (bool): Whether there is a gradient, whoever asks first.

    Attributes:
        inputs (Tensor): The images ``(n, 3, h, w)`` as they are seen.
        samples (list[:obj:`DetDataSample`]): Meta information of these; no
            annotation.
    """

    def __init__(self, network: nn.Module, inputs: Tensor, samples: SampleList,
                 scale: float, flip: bool, alter: Optional[Callable[[Tensor],
                                                                    Tensor]],
                 train: bool, with_grad: bool) -> None:
        self.network = network
        self.flip = flip
        self.train = train
        self.with_grad = with_grad
        height, width = inputs.shape[-2:]
        if scale != 1:
            inputs = resize(
                inputs, [max(1, round(x * scale)) for x in inputs.shape[-2:]])
        factors = inputs.shape[-2] / height, inputs.shape[-1] / width
        self.samples = [_rescale(sample, factors) for sample in samples]
        if flip:
            inputs = self._mirror(inputs)
        self.inputs = inputs if alter is None else alter(inputs)
        self._features: Optional[Tuple[Tensor, ...]] = None
        self._outputs: Dict[str, Any] = {}

    def _mirror(self, maps: Tensor) -> Tensor:
        """Flip each image, at the size of the inputs, and not its padding."""
        width = maps.shape[-1]
        widths = [x.get('img_shape', (0, width))[1] for x in self.samples]
        if all(x == width for x in widths):
            return maps.flip(-1)
        maps = maps.clone()
        for image, x in zip(maps, widths):
            image[..., :x] = image[..., :x].flip(-1)
        return maps

    def features(self) -> Tuple[Tensor, ...]:
        """Feature maps ``(n, C, h_l, w_l)`` of the network's neck."""
        if self._features is None:
            with self._mode(self.network), batch_samples(self.samples):
                self._features = self.network.extract_feat(self.inputs)
        return self._features

    def outputs(self, head: str) -> Any:
        """What a head says, by its name or a task that it alone serves."""
        name = self.network.head_name(head)
        module = self.network.task_heads[name]
        if name not in self._outputs:
            feats = self.features()
            with self._mode(module):
                self._outputs[name] = module(feats, self.samples)
        return module.part(head, self._outputs[name])

    def restore(self, maps: Tensor, size: Tuple[int, int]) -> Tensor:
        """Maps ``(n, C, h, w)`` of the view for the images as they were.

        They are flipped back, and resized bilinearly to ``size``.
        """
        if self.flip:
            # where an image ends is known in input pixels
            maps = self._mirror(resize(maps, self.inputs.shape[-2:]))
        return resize(maps, size)

    def _mode(self, module: nn.Module) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(torch.set_grad_enabled(self.with_grad))
        if not self.train:
            stack.enter_context(evaluation_mode(module))
        return stack


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps ``(n, C, *size)``, bilinearly, or as they are."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(
        maps, size=tuple(size), mode='bilinear', align_corners=False)


def _rescale(sample: DetDataSample, factors: Tuple[float,
                                                   float]) -> DetDataSample:
    """Meta information of an image whose sides are multiplied."""
    seen = DetDataSample(metainfo=sample.metainfo)
    for key in SHAPES:
        if key in sample:
            shape = sample.metainfo[key][:2]
            seen.set_metainfo({
                key:
                tuple(round(x * factor) for x, factor in zip(shape, factors))
            })
    if 'scale_factor' in sample:
        x, y = sample.scale_factor[:2]
        seen.set_metainfo(dict(scale_factor=(x * factors[1], y * factors[0])))
    return seen
