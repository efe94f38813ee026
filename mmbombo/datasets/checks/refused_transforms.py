# Copyright (c) mmbombo contributors.
"""Transforms that are known not to work, refused by name."""
from typing import Any, Callable, Iterator, Optional, Sequence

from mmbombo.structures import BBOX, REGIONS, SALIENCY
from mmbombo.utils import UserError

_NO_MAPS = 'it does not move segmentation maps'
_READS_ALL = 'use LoadPartialAnnotations, which reads what the kinds name'
_PACKS_ALL = 'use PackMultiTaskInputs'
#: Why a transform of the libraries cannot be used; for those of MMCV alone
#: with its name before, since MMDetection's of the same name can.
REFUSED = {
    'Mosaic': _NO_MAPS,
    'CachedMosaic': _NO_MAPS,
    'MixUp': _NO_MAPS,
    'CachedMixUp': _NO_MAPS,
    'CopyPaste': _NO_MAPS,
    'InstaBoost': _NO_MAPS,
    'RandomAffine': f'{_NO_MAPS}; use mmdet.RandomResize and '
    'mmdet.RandomCrop, or mmdet.Rotate, mmdet.ShearX, mmdet.TranslateX',
    'RandomShift': f'{_NO_MAPS}; use mmdet.TranslateX and mmdet.TranslateY',
    'RandomCenterCropPad': f'{_NO_MAPS}; use mmdet.RandomCrop',
    'Albu': f"{_NO_MAPS}; use mmdet's transforms",
    'SegRescale': 'it rescales the map alone',
    'LoadAnnotations': _READS_ALL,
    'LoadPanopticAnnotations': _READS_ALL,
    'LoadEmptyAnnotations': _READS_ALL,
    'PackDetInputs': _PACKS_ALL,
    'PackSegInputs': _PACKS_ALL,
    'mmcv.RandomFlip': "use 'mmdet.RandomFlip', which moves boxes too",
    'mmcv.Pad': "use 'mmdet.Pad', which pads maps too",
    'mmcv.CenterCrop': 'use mmdet.RandomCrop',
    # which the default of their `resize_type` means
    'mmcv.Resize': "use 'mmdet.Resize'; in mmdet.RandomResize and "
    "mmdet.RandomChoiceResize set resize_type='mmdet.Resize'",
}  # yapf: disable
#: What MMSegmentation has that leaves geometry alone; the rest of it moves
#: the maps that `seg_fields` lists, and no boxes.
MMSEG_PHOTOMETRIC = ('AdjustGamma', 'CLAHE', 'PhotoMetricDistortion',
                     'RGB2Gray', 'Rerange')
#: Transforms that work only where there are boxes.
NEEDS_BOXES = ('MinIoURandomCrop', 'FilterAnnotations')


class PipelineError(UserError):
    """A transform that cannot be used with partial annotations."""


def refuse_by_name(transforms: Sequence[Callable],
                   kinds: Sequence[str]) -> None:
    """Raise ``PipelineError`` for transforms that are known not to work, with
    what to use instead."""
    for transform in _walk(transforms):
        reason = _refusal(transform, kinds)
        if reason is not None:
            raise PipelineError(
                f'{step_name(transform)} cannot be used with annotation kinds '
                f'{tuple(kinds)}: {reason}')


def _refusal(transform: Callable, kinds: Sequence[str]) -> Optional[str]:
    library, name = step_name(transform).split('.')
    if library not in ('mmcv', 'mmdet',
                       'mmseg') or (library == 'mmseg'
                                    and name in MMSEG_PHOTOMETRIC):
        return None
    if name in NEEDS_BOXES and BBOX not in kinds:
        return 'it needs boxes; use mmdet.RandomCrop, or nothing'
    if name == 'Expand' and {SALIENCY, REGIONS} & {*kinds}:
        return (
            'it does not tell where it puts the image, which saliency maps '
            'and regions need; use RandomZoomCrop')
    reason = REFUSED.get(f'{library}.{name}') or REFUSED.get(name)
    if reason is None and library == 'mmseg':
        return ('MMSegmentation\'s transforms move no boxes, and no map that '
                f'was loaded here; use mmdet.{name} or another of mmdet\'s')
    return reason


def _walk(transforms: Any) -> Iterator[Callable]:
    """The transforms and those that they wrap."""
    if isinstance(transforms, (list, tuple)):
        for transform in transforms:
            yield from _walk(transform)
        return
    if callable(transforms):
        yield transforms
    for attribute in ('transforms', 'resize'):
        yield from _walk(getattr(transforms, attribute, ()))


def step_name(transform: Callable) -> str:
    """Name of a transform, behind that of its library."""
    library = type(transform).__module__.split('.')[0]
    name = getattr(transform, '__name__', type(transform).__name__)
    return f'{library}.{name}'
