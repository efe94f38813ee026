# Copyright (c) mmbombo contributors.
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample, SampleList
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmbombo.models.utils import training_progress
from mmbombo.registry import MODELS
from mmbombo.structures import BBOX, sample_fields
from mmbombo.structures.annotation_kinds import BOXES, ITSELF, LINEAR
from mmbombo.utils import UserError
from .multi_task_data_preprocessor import map_fields, set_map


@MODELS.register_module()
class DetBatchResize(nn.Module):
    """Multi-scale training of the detection batch, a size per step.

    The images, their boxes and their maps (such as the pseudo masks of
    Box-for-Mask) are resized together: images bilinearly, maps to the nearest
    pixel. Batches without boxes stay as they are, and so do those that are
    another task's.

    The size comes from torch's random state on the CPU, so drawing does not
    wait for the device; :class:`StepSeedHook` seeds it from (seed of the run,
    iteration, rank). A resumed run draws as an uninterrupted one, and ranks
    draw independently.

    It works on a batch that has been normalized and padded, and on one group
    of images only, so it is a part of :class:`MultiTaskDetector`, which makes
    the groups, and not of its data preprocessor.

    Source: the papers' training, with 256, 320 and 384 pixels around 320
    during the first 80 % of the iterations.

    Args:
        sizes (Sequence[int]): Sides in pixels, equally likely.
        until (float): Share of the training after which the batch keeps its
            size. Defaults to 0.8.
    """

    def __init__(self, sizes: Sequence[int], until: float = 0.8) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.until = until

    def forward(self,
                inputs: Tensor,
                samples: SampleList,
                task: Optional[str] = None) -> Tuple[Tensor, SampleList]:
        """Resize a batch of square images that have boxes.

        ``task`` says whose batch it is, where more than the kinds decides.
        """
        if (not any(BBOX in sample.annotation_kinds for sample in samples)
                or task not in (None, 'det')
                or training_progress() >= self.until):
            return inputs, samples
        draw = torch.randint(len(self.sizes), (), device='cpu')
        return resize_batch(inputs, samples, self.sizes[int(draw)])


def resize_batch(inputs: Tensor, samples: SampleList,
                 size: int) -> Tuple[Tensor, SampleList]:
    """Resize square images ``(n, 3, S, S)`` and what is in their pixels."""
    height, width = inputs.shape[-2:]
    if height != width:
        raise UserError(
            f'DetBatchResize: the batch has {height} x {width} pixels; it '
            'needs square ones, as from mmdet.Resize with keep_ratio=False')
    if size == height:
        return inputs, samples
    resized = F.interpolate(
        inputs, size=(size, size), mode='bilinear', align_corners=False)
    return resized, [resize_sample(sample, height, size) for sample in samples]


def resize_sample(sample: DetDataSample, old: int, new: int) -> DetDataSample:
    """A sample of a square image whose side changes from old to new."""
    scale = new / old
    resized = sample.new()
    for key in ('img_shape', 'pad_shape', 'batch_input_shape'):
        shape = tuple(round(x * scale) for x in sample.metainfo[key][:2])
        resized.set_metainfo({key: shape})
    if 'scale_factor' in sample:
        resized.set_metainfo(
            dict(scale_factor=tuple(x * scale for x in sample.scale_factor)))
    for field in sample_fields():
        if field.geometry == BOXES and field.name in sample:
            instances: InstanceData = sample.get(field.name).new()
            instances.bboxes = instances.bboxes * scale
            if 'areas' in instances:
                instances.areas = instances.areas * scale**2
            resized.set_field(instances, field.name)
        elif field.geometry == ITSELF and field.name in sample:
            resized.set_field(
                sample.get(field.name).resized(scale), field.name)
    for field in map_fields(sample):
        pixels = sample.get(field.name).get(field.key)
        set_map(
            resized, field,
            bilinear(pixels, new, field.pad_value)
            if field.geometry == LINEAR else nearest(pixels, new))
    return resized


def bilinear(pixels: Tensor, size: int, unknown: float) -> Tensor:
    """Resize a map of values ``(1, S, S)`` to ``(1, size, size)``.

    Unknown values stay, and are mixed into no other.
    """
    known = pixels != unknown
    both = torch.stack(
        [pixels.where(known, torch.zeros_like(pixels)),
         known.to(pixels)])
    value, weight = F.interpolate(
        both, size=(size, size), mode='bilinear', align_corners=False)
    return (value / weight).where(
        nearest(known, size), value.new_tensor(unknown))


def nearest(pixels: Tensor, size: int) -> Tensor:
    """Resize an integer map ``(1, S, S)`` to ``(1, size, size)``.

    A new pixel takes the value at its center, as bilinear interpolation of
    the image with ``align_corners=False`` has it; ``mode='nearest'`` of torch
    does not, and takes no integers.
    """
    old = pixels.shape[-1]
    index = torch.arange(size, device=pixels.device)
    index = (2 * index + 1) * old // (2 * size)
    return pixels[:, index[:, None], index]
