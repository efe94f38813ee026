# Copyright (c) mmbombo contributors.
"""Does a pipeline move image, map and boxes together?

Three checks when a data set is built. Known offenders are refused by name,
with what to use instead, and so is a wrong order. Then a start-up probe sends
a synthetic image through the configured transforms and compares what comes
out: that judges what transforms do, so a user's own are covered too.

What a transform does only now and then, the probe must provoke. It runs the
pipeline with ten seeds, and each transform of a user's own (also in a wrapper
of a library) by itself with twenty more and with the random generators at
either end of their range. So a mistake of such a transform is found

- if it is made when one of the first 150 numbers from ``random``,
  ``numpy.random`` or torch's default generator is below 0.01, or any larger
  probability, or above 1 minus it, or
- if it is made by any other chance, such as one of many choices, in one of 30
  draws: of 10 % in 96 of 100 cases, of 5 % in 79.

Only those of the ten draws of the pipeline are found of transforms of
MMDetection and MMCV, of what a transform does with a generator of its own or
only behind another one, and of boxes that are merely too large. What it does
to images and annotations unlike the probe alone is not found.
"""
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from typing import Any, Callable, Iterator, Optional, Sequence

import cv2
import numpy as np
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.logging import print_log

from mmbombo.datasets.draw_seed import SeededIndex, seeded_draw
from mmbombo.structures import BBOX, IGNORE_INDEX, SEM_SEG
from mmbombo.utils import UserError
from .extreme_draws import extreme_draws, generator_states

_MOVES_NO_MAP = 'it does not move segmentation maps'
_READS_ALL = 'use LoadPartialAnnotations, which reads what the kinds name'
#: Transforms of MMDetection and MMCV that cannot work here, and why.
REFUSED = dict(
    Mosaic=_MOVES_NO_MAP,
    CachedMosaic=_MOVES_NO_MAP,
    MixUp=_MOVES_NO_MAP,
    CachedMixUp=_MOVES_NO_MAP,
    CopyPaste=_MOVES_NO_MAP,
    InstaBoost=_MOVES_NO_MAP,
    RandomAffine=f'{_MOVES_NO_MAP}; use mmdet.RandomResize and '
    'mmdet.RandomCrop, or mmdet.Rotate, mmdet.ShearX, mmdet.TranslateX',
    RandomShift=f'{_MOVES_NO_MAP}; use mmdet.TranslateX and mmdet.TranslateY',
    RandomCenterCropPad=f'{_MOVES_NO_MAP}; use mmdet.RandomCrop',
    Albu=f'{_MOVES_NO_MAP}; use mmdet\'s transforms',
    SegRescale='it rescales the map alone',
    LoadAnnotations=_READS_ALL,
    LoadPanopticAnnotations=_READS_ALL,
    LoadEmptyAnnotations=_READS_ALL,
    PackDetInputs='use PackMultiTaskInputs',
    PackSegInputs='use PackMultiTaskInputs')
#: MMCV's own versions, which know no box type; as the ``resize_type`` of
#: ``RandomResize`` and ``RandomChoiceResize``, 'Resize' means MMCV's.
REFUSED_MMCV = {
    name: f"use 'mmdet.{name}', which moves boxes and maps too"
    for name in ('RandomFlip', 'Pad')
}
REFUSED_MMCV.update(
    Resize="use 'mmdet.Resize'; in mmdet.RandomResize and "
    "mmdet.RandomChoiceResize set resize_type='mmdet.Resize'",
    CenterCrop='use mmdet.RandomCrop',
    MultiScaleFlipAug='test-time augmentation is not for training')
#: What MMSegmentation has that leaves geometry alone; the rest of it moves
#: the maps that `seg_fields` lists, and no boxes.
MMSEG_PHOTOMETRIC = ('AdjustGamma', 'CLAHE', 'PhotoMetricDistortion',
                     'RGB2Gray', 'Rerange')
#: Transforms that work only where there are boxes.
NEEDS_BOXES = dict(
    MinIoURandomCrop='use mmdet.RandomCrop',
    FilterAnnotations='leave it out for sources without boxes')

#: Height and width of the probe image, and its object: x1, y1, x2, y2.
PROBE_SHAPE = (168, 232)
PROBE_BOX = (28, 36, 108, 92)
#: Where the transforms come from that are not a user's own.
STOCK = ('mmbombo', 'mmcv', 'mmdet', 'mmseg')
#: Opens a block in which the random numbers are given.
Draws = Callable[[], AbstractContextManager]
#: Draws with which the pipeline is probed ...
PROBE_DRAWS: Sequence[Draws] = [
    partial(seeded_draw, SeededIndex(0, seed)) for seed in range(10)
]
#: ... and each transform of a user's own that draws, by itself.
RARE_DRAWS: Sequence[Draws] = [
    partial(extreme_draws, 'low'),
    partial(extreme_draws, 'high'),
    *(partial(seeded_draw, SeededIndex(0, seed)) for seed in range(10, 30))
]
#: Pixels so close to the border of the object are compared across it.
REACH = 4
#: Share of the border on which the comparison must have the same sign.
AGREEMENT = 0.85
#: What has one value in such a window has been filled in, not photographed.
FLAT = np.ones((5, 5), np.uint8)
#: What is looked at around the object, in pixels.
MARGIN = 2 * REACH + 4
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
#: Allowed distance of box and map edges: pixels, and share of the image.
BOX_TOLERANCE = (2., 0.01)
#: Fewer pixels than this prove nothing.
MIN_PIXELS = 30


class PipelineError(UserError):
    """A transform that cannot be used with partial annotations."""


def check_pipeline(transforms: Sequence[Callable],
                   kinds: Sequence[str],
                   probe: bool = True) -> None:
    """Check the transforms of a source.

    Args:
        transforms (Sequence[Callable]): The built pipeline.
        kinds (Sequence[str]): Annotation kinds of the source.
        probe (bool): Whether to check the order and run the probe too; not
            for test pipelines, which load the annotation after they resize
            the image. Defaults to True.

    Raises:
        PipelineError: Naming the transform and what to use instead.
    """
    for transform in _walk(transforms):
        reason = _refusal(transform, kinds)
        if reason is not None:
            raise PipelineError(
                f'{step_name(transform)} cannot be used with annotation kinds '
                f'{tuple(kinds)}: {reason}')
    if probe:
        _check_order(transforms)
        probe_pipeline(transforms, kinds)


def _check_order(transforms: Sequence[Callable]) -> None:
    """Loading comes first, and components are of the augmented map.

    The probe cannot see it: it neither loads nor labels.
    """
    changes = None
    labels = None
    for step in transforms:
        name = type(step).__name__
        if name.startswith('Load') and changes is not None:
            raise PipelineError(
                f'{step_name(changes)} stands before {step_name(step)}, whose '
                'annotation is that of the original image: load first, then '
                'augment. (A set for evaluation needs test_mode=True; there '
                'this order is right)')
        if labels is not None and not name.startswith('Pack'):
            raise PipelineError(
                f'{step_name(step)} stands behind {step_name(labels)}, whose '
                'components it does not change: put LabelComponents right '
                'before PackMultiTaskInputs')
        if name == 'LabelComponents':
            labels = step
        elif not is_frame(step):
            changes = step


def probe_pipeline(transforms: Sequence[Callable],
                   kinds: Sequence[str]) -> None:
    """Send a synthetic sample through a training pipeline.

    It is a bright object on a dark ground, both textured, with the map and
    the box that the kinds (and pseudo masks) bring. Loading and packing are
    left out. What has no texture in the output (padding, erased patches) and
    what the map ignores are not judged. Which rare mistakes are found stands
    at the head of this file.

    Args:
        transforms (Sequence[Callable]): The built pipeline.
        kinds (Sequence[str]): Annotation kinds of the source.

    Raises:
        PipelineError: If image, map and boxes disagree afterwards; it names
            the transform after which they first do.
    """
    steps = [step for step in transforms if not is_frame(step)]
    has_map = SEM_SEG in kinds or any(
        type(step).__name__ == 'LoadPseudoMask' for step in transforms)
    if not steps or not kinds:
        return
    for draws in PROBE_DRAWS:
        if _probe(steps, kinds, has_map, draws) is not None:
            raise PipelineError(_explain(steps, kinds, has_map, draws))
    for step in steps:
        if is_stock(step) or not _draws_numbers(step, kinds, has_map):
            continue
        for draws in RARE_DRAWS:
            if _probe([step], kinds, has_map, draws, alone=True) is not None:
                raise PipelineError(
                    _explain([step], kinds, has_map, draws, alone=True))


def is_stock(step: Callable) -> bool:
    """Whether it, and all that it wraps, are the libraries' or ours.

    They are known to move all or have been refused by name; their chances
    are left to the draws of the pipeline.
    """
    return all(
        type(part).__module__.split('.')[0] in STOCK for part in _walk(step))


def _draws_numbers(step: Callable, kinds: Sequence[str],
                   has_map: bool) -> bool:
    """Whether a transform uses the generators that data sets seed."""
    with extreme_draws('low'):
        states = generator_states()
        try:
            step(probe_sample(kinds, has_map))
        except Exception:
            # It may need what stands before it.
            pass
        return generator_states() != states


def _probe(steps: Sequence[Callable],
           kinds: Sequence[str],
           has_map: bool,
           draws: Draws,
           alone: bool = False) -> Optional[str]:
    """What is wrong with the probe after the steps, if anything."""
    problem = _run(steps, kinds, has_map, draws, alone)
    if problem is not None and not has_map and \
            _run(steps, kinds, True, draws, alone) is None:
        # A rotated object does not fill its box, but fits its map.
        return None
    return problem


def _run(steps: Sequence[Callable], kinds: Sequence[str], has_map: bool,
         draws: Draws, alone: bool) -> Optional[str]:
    with draws():
        sample = probe_sample(kinds, has_map)
        keys = set(sample)
        for step in steps:
            try:
                sample = step(sample)
            except Exception as error:
                if alone:
                    # It may need what stands before it.
                    return None
                if not isinstance(error, KeyError) or keys.issuperset(
                        error.args):
                    return f'{step_name(step)} fails on it: {error!r}'
                print_log(
                    f'{step_name(step)} needs {error} and could not be '
                    'probed: make sure that it moves image, map and boxes '
                    'together',
                    logger='current')
                return None
            if sample is None:
                # The transform rejects it, e.g. a crop without boxes.
                return None
    return find_disagreement(sample, large_boxes=alone)


def _explain(steps: Sequence[Callable],
             kinds: Sequence[str],
             has_map: bool,
             draws: Draws,
             alone: bool = False) -> str:
    """Find the first step after which the sample is wrong."""
    for number in range(1, len(steps) + 1):
        problem = _probe(steps[:number], kinds, has_map, draws, alone)
        if problem is not None:
            break
    return (f'the pipeline does not keep an image with annotation kinds '
            f'{tuple(kinds)} and its annotation together: after '
            f'{step_name(steps[number - 1])}, {problem}. A transform must '
            'move `img`, `gt_seg_map` and `gt_bboxes` alike, and add no boxes '
            'to an image without them')


def find_disagreement(sample: dict,
                      large_boxes: bool = False) -> Optional[str]:
    """Compare image, map and boxes of a transformed probe sample.

    Args:
        sample (dict): ``img``, ``img_shape``, ``annotation_kinds`` and, where
            there are any, ``gt_seg_map`` and ``gt_bboxes``.
        large_boxes (bool): Whether a box may be larger than the object, as
            one is that was rotated twice. Defaults to False.

    Returns:
        str | None: What disagrees.
    """
    image = sample['img']
    shape = image.shape[:2]
    if tuple(sample['img_shape'][:2]) != shape:
        return f"img_shape is {sample['img_shape']} but the image is {shape}"
    boxes = _boxes(sample)
    if boxes is not None and BBOX not in sample['annotation_kinds']:
        return 'there are boxes, where the image has no box annotation'
    seg_map = sample.get('gt_seg_map')
    if seg_map is not None and seg_map.shape != shape:
        return f'the map is {seg_map.shape} but the image is {shape}'
    if boxes is not None and len(boxes) != 1:
        # The object has been cropped away: nothing is left to compare.
        return None
    if seg_map is None:
        if boxes is None:
            return None
        marked, ignored = filled(boxes[0], shape), np.zeros(shape, bool)
    else:
        marked, ignored = seg_map == 1, seg_map == IGNORE_INDEX
    rows, columns = np.nonzero(marked)
    if len(rows) < MIN_PIXELS:
        return None
    extent = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    near = tuple(
        slice(max(0, low - MARGIN), high + MARGIN)
        for low, high in ((extent[1], extent[3]), (extent[0], extent[2])))
    gray = _gray(image[near])
    judged = _is_photograph(gray) & ~ignored[near]
    if seg_map is not None and boxes is not None:
        problem = _compare_box(boxes[0], np.array(extent, np.float64), shape,
                               ignored, large_boxes)
        if problem is not None:
            return problem
    return _compare_map(gray, marked[near], judged)


def _compare_map(gray: np.ndarray, marked: np.ndarray,
                 judged: np.ndarray) -> Optional[str]:
    """Does the image change across the border of the object in the map?

    The two sides are compared locally, so that neither the level nor the sign
    of the contrast matters, which color transforms change: only that it has
    the same sign all along the border. By chance half of it has.
    """
    contrast = (
        _local_mean(gray, judged & marked) -
        _local_mean(gray, judged & ~marked))
    pixels = marked.astype(np.uint8)
    border = cv2.dilate(pixels, CROSS) != cv2.erode(pixels, CROSS)
    contrast = contrast[border & judged & np.isfinite(contrast)]
    if contrast.size < MIN_PIXELS:
        return None
    positive = (contrast > 0).mean()
    agree = max(positive, 1 - positive)
    if agree < AGREEMENT:
        return ('image and annotation disagree: the image shows the border '
                f'of the object on {100 * agree:.0f} % of where it should be')
    return None


def _local_mean(gray: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean of the pixels ``where`` in a window around each; NaN if few."""
    weight = where.astype(np.float32)
    size = (2 * REACH + 1, ) * 2
    total = cv2.boxFilter(gray * weight, -1, size, normalize=False)
    count = cv2.boxFilter(weight, -1, size, normalize=False)
    return np.where(count > REACH, total / np.maximum(count, 1), np.nan)


def _compare_box(box: np.ndarray, extent: np.ndarray, shape: Sequence[int],
                 ignored: np.ndarray, large_boxes: bool) -> Optional[str]:
    """Does the box enclose the object of the map?"""
    height, width = shape
    box = np.clip(box, 0, [width, height, width, height])
    tolerance = BOX_TOLERANCE[0] + BOX_TOLERANCE[1] * max(height, width)
    outside = np.concatenate([box[:2] - extent[:2], extent[2:] - box[2:]])
    # Where part of the box is erased, the map may be smaller than the box.
    if not large_boxes and not (filled(box, shape) & ignored).any():
        outside = np.abs(outside)
    if outside.max() > tolerance:
        return (f'the box is {box.round(1).tolist()} but the map shows the '
                f'object in {extent.tolist()}')
    return None


def _gray(image: np.ndarray) -> np.ndarray:
    """(H, W) float32 brightness; the weights of the channels do not matter."""
    image = image.astype(np.float32)
    return image if image.ndim == 2 else image.sum(-1)


def _is_photograph(gray: np.ndarray) -> np.ndarray:
    """(H, W) bool: not in a patch of one value, which a transform filled."""
    flat = (cv2.dilate(gray, FLAT) == cv2.erode(gray, FLAT)).astype(np.uint8)
    return cv2.dilate(flat, FLAT) == 0


def filled(box: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """(H, W) bool map that is true inside a box."""
    x1, y1, x2, y2 = np.clip(np.round(box), 0, None).astype(int)
    inside = np.zeros(shape, bool)
    inside[y1:y2, x1:x2] = True
    return inside


def _boxes(sample: dict) -> Optional[np.ndarray]:
    boxes = sample.get('gt_bboxes')
    if boxes is None:
        return None
    return np.asarray(getattr(boxes, 'tensor', boxes), dtype=np.float64)


@lru_cache(maxsize=None)
def _probe_image() -> np.ndarray:
    """(H, W, 3) uint8, drawn once: that takes longer than most transforms."""
    texture = np.random.RandomState(0)
    image = texture.randint(20, 60, (*PROBE_SHAPE, 3)).astype(np.uint8)
    x1, y1, x2, y2 = PROBE_BOX
    image[y1:y2, x1:x2] += 120
    return image


def probe_sample(kinds: Sequence[str], has_map: bool) -> dict:
    """The synthetic sample, as the loading transforms would leave it."""
    sample = dict(
        img=_probe_image().copy(),
        img_path='probe.png',
        img_id='probe',
        img_shape=PROBE_SHAPE,
        ori_shape=PROBE_SHAPE,
        height=PROBE_SHAPE[0],
        width=PROBE_SHAPE[1],
        sample_idx=0,
        source='probe',
        annotation_kinds=tuple(kinds))
    if has_map:
        sample['gt_seg_map'] = filled(PROBE_BOX, PROBE_SHAPE).view(np.uint8)
        sample['ignore_index'] = IGNORE_INDEX
        sample['seg_fields'] = []
    if BBOX in kinds:
        sample['gt_bboxes'] = HorizontalBoxes(
            torch.tensor([PROBE_BOX], dtype=torch.float32))
        sample['gt_bboxes_labels'] = np.zeros(1, dtype=np.int64)
        sample['gt_ignore_flags'] = np.zeros(1, dtype=bool)
        sample['instances'] = [
            dict(bbox=list(PROBE_BOX), bbox_label=0, ignore_flag=0)
        ]
    return sample


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


def _refusal(transform: Callable, kinds: Sequence[str]) -> Optional[str]:
    """Why a transform cannot be used, or None."""
    name = type(transform).__name__
    library = type(transform).__module__.split('.')[0]
    if library == 'mmseg' and name not in MMSEG_PHOTOMETRIC:
        return REFUSED.get(
            name, 'MMSegmentation\'s transforms move neither boxes nor a map '
            f'that MMDetection\'s loaders made; use mmdet.{name} or another '
            'of mmdet\'s')
    if library in ('mmdet', 'mmcv') and name in REFUSED:
        return REFUSED[name]
    if library == 'mmcv' and name in REFUSED_MMCV:
        return REFUSED_MMCV[name]
    if library == 'mmdet' and name in NEEDS_BOXES and BBOX not in kinds:
        return f'it needs boxes; {NEEDS_BOXES[name]}'
    return None


def is_frame(transform: Callable) -> bool:
    """Whether it loads, labels or packs, rather than changes the sample."""
    name = type(transform).__name__
    return name.startswith(('Load', 'Pack')) or name == 'LabelComponents'


def step_name(transform: Callable) -> str:
    library = type(transform).__module__.split('.')[0]
    name = getattr(transform, '__name__', type(transform).__name__)
    return f'{library}.{name}'
