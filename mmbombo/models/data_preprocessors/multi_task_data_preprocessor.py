# Copyright (c) mmbombo contributors.
from typing import List, Sequence

import torch
import torch.nn.functional as F
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData

from mmbombo.registry import MODELS
from mmbombo.structures import SampleField, sample_fields
from mmbombo.structures.annotation_kinds import NEAREST
from mmbombo.utils import UserError


@MODELS.register_module()
class MultiTaskDataPreprocessor(DetDataPreprocessor):
    """Normalize images once and pad images and maps alike, per sample.

    MMDetection's preprocessor looks at the first sample only when it pads
    segmentation maps; here every sample is judged by its own fields, so that
    images with boxes, masks, both or none share a batch. Maps become int64 on
    the device, and a semantic map answers to both ``.sem_seg`` (MMDetection)
    and ``.data`` (MMSegmentation) with one tensor.

    In validation, maps keep their original shape: predictions are brought to
    the annotation, not the annotation to the network.

    Args:
        **kwargs: Arguments of
            :class:`mmdet.models.DetDataPreprocessor`, by name, except
            ``pad_seg``, ``seg_pad_value`` and ``batch_augments``.
    """

    def __init__(self, **kwargs) -> None:
        for option in {'pad_seg', 'seg_pad_value'} & set(kwargs):
            raise UserError('MultiTaskDataPreprocessor always pads semantic '
                            f'maps in training, as ignored: drop {option!r}')
        if kwargs.get('batch_augments'):
            raise UserError(
                "MultiTaskDataPreprocessor takes no 'batch_augments': those "
                'of MMDetection move images and boxes and leave pseudo masks '
                'and components where they were; see DetBatchResize')
        super().__init__(pad_seg=True, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Preprocess a batch; in training maps are padded as the images."""
        data = super().forward(data, training)
        for sample in data['data_samples'] or []:
            if not training:
                widen_maps(sample)
        return data

    def pad_gt_sem_seg(self,
                       batch_data_samples: Sequence[DetDataSample]) -> None:
        """Pad every map of every sample, in place, as the images."""
        for sample in batch_data_samples:
            widen_maps(sample)
            height, width = sample.batch_input_shape
            for field in map_fields(sample):
                pixels = sample.get(field.name).get(field.key)
                h, w = pixels.shape[-2:]
                if (h, w) != tuple(sample.img_shape[:2]):
                    raise UserError(
                        f'{sample.get("img_path", "an image")}: '
                        f'{field.name} is {w}x{h}, but the image as it was '
                        f'packed is {sample.img_shape[1]}x'
                        f'{sample.img_shape[0]}: a transform changes the image'
                        ' and leaves the map, as those that mix images do '
                        '(Mosaic, MixUp); take it out of the pipeline, or of '
                        'MultiImageMixDataset')
                padded = F.pad(
                    pixels, (0, width - w, 0, height - h),
                    value=field.pad_value)
                set_map(sample, field, padded)


def widen_maps(sample: DetDataSample) -> None:
    """Make the maps of ids of a sample int64, as the losses need them.

    Maps travel from the workers to the device as uint8 or int16, an eighth
    or a quarter of the bytes.
    """
    for field in map_fields(sample):
        pixels = sample.get(field.name).get(field.key)
        set_map(sample, field,
                pixels.long() if field.geometry == NEAREST else pixels)


def map_fields(sample: DetDataSample) -> List[SampleField]:
    """Those fields of a sample that hold a value per pixel."""
    return [x for x in sample_fields() if x.is_map and x.name in sample]


def set_map(sample: DetDataSample, field: SampleField,
            pixels: torch.Tensor) -> None:
    """Store a map ``(1, H, W)`` under the key(s) that its readers expect."""
    sample.set_field(
        PixelData(**{
            field.key: pixels,
            'data': pixels
        }), field.name)
