# Copyright (c) mmbombo contributors.
from typing import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData

from mmbombo.registry import MODELS
from mmbombo.structures import IGNORE_INDEX
from mmbombo.utils import UserError

#: Pixel fields of a sample: the key that holds the map, and the value that
#: fills the padding.
PIXEL_FIELDS = dict(
    gt_sem_seg=('sem_seg', IGNORE_INDEX),
    pseudo_sem_seg=('sem_seg', IGNORE_INDEX),
    component_map=('data', 0))


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

    Raises:
        UserError: For one of these three, and for arguments without a name.
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
        """Preprocess one batch.

        Args:
            data (dict): ``inputs`` (list of uint8 images ``(3, H, W)``) and
                ``data_samples``.
            training (bool): Whether maps are padded with the images.

        Returns:
            dict: ``inputs`` ``(N, 3, H, W)`` and ``data_samples``.
        """
        data = super().forward(data, training)
        for sample in data['data_samples'] or []:
            if not training:
                widen_maps(sample)
        return data

    def pad_gt_sem_seg(self,
                       batch_data_samples: Sequence[DetDataSample]) -> None:
        """Pad every map of every sample to the shape of the batch.

        Args:
            batch_data_samples (Sequence[:obj:`DetDataSample`]): The samples;
                their maps are replaced in place.

        Raises:
            UserError: If a map has another shape than its image.
        """
        for sample in batch_data_samples:
            widen_maps(sample)
            height, width = sample.batch_input_shape
            for field, (key, fill) in PIXEL_FIELDS.items():
                if field not in sample:
                    continue
                pixels = sample.get(field).get(key)
                h, w = pixels.shape[-2:]
                if (h, w) != tuple(sample.img_shape[:2]):
                    raise UserError(
                        f'{sample.get("img_path", "an image")}: {field} is '
                        f'{w}x{h}, but the image as it was packed is '
                        f'{sample.img_shape[1]}x{sample.img_shape[0]}: a '
                        'transform changes the image and leaves the map, as '
                        'those that mix images do (Mosaic, MixUp); take it '
                        'out of the pipeline, or of MultiImageMixDataset')
                padded = F.pad(
                    pixels, (0, width - w, 0, height - h), value=fill)
                set_map(sample, field, padded)


def widen_maps(sample: DetDataSample) -> None:
    """Make the maps of a sample int64, as the losses need them.

    Maps travel from the workers to the device as uint8 or int16, an eighth
    or a quarter of the bytes.

    Args:
        sample (:obj:`DetDataSample`): Changed in place.
    """
    for field, (key, _) in PIXEL_FIELDS.items():
        if field in sample:
            set_map(sample, field, sample.get(field).get(key).long())


def set_map(sample: DetDataSample, field: str, pixels: torch.Tensor) -> None:
    """Store a map ``(1, H, W)`` under the key(s) that its readers expect."""
    if PIXEL_FIELDS[field][0] == 'sem_seg':
        maps = PixelData(sem_seg=pixels, data=pixels)
    else:
        maps = PixelData(data=pixels)
    sample.set_field(maps, field)
