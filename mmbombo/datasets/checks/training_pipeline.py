# Copyright (c) mmbombo contributors.
"""Does a pipeline move image, map and boxes together?

Known offenders are refused by name, with what to use instead, and so is a
wrong order. Then a probe, whose map and box are known, goes through the
configured transforms, with a few seeds, so a user's own are covered too. A
mistake that no seed brings about, or that only other images show, passes.
"""
from typing import Any, Callable, Iterator, Optional, Sequence

import cv2
import numpy as np
import torch
from mmdet.structures.bbox import HorizontalBoxes

from mmbombo.structures import BBOX, IGNORE_INDEX, SEM_SEG
from ..draw_seed import SeededIndex, seeded_draw

_MOVES_NO_MAP = 'it does not move segmentation maps'
_READS_ALL = 'use LoadPartialAnnotations, which reads what the kinds name'
#: Transforms of MMDetection and MMCV that cannot work here, and why.
REFUSED = {
    **dict.fromkeys(('Mosaic', 'CachedMosaic', 'MixUp', 'CachedMixUp', 'CopyPaste', 'InstaBoost'), _MOVES_NO_MAP),
    **dict.fromkeys(('LoadAnnotations', 'LoadPanopticAnnotations', 'LoadEmptyAnnotations'), _READS_ALL),
    **dict.fromkeys(('PackDetInputs', 'PackSegInputs'), 'use PackMultiTaskInputs'),
    'RandomAffine':
    f'{_MOVES_NO_MAP}; use mmdet.RandomResize and mmdet.RandomCrop, or mmdet.Rotate, mmdet.ShearX, mmdet.TranslateX',
    'RandomShift':
    f'{_MOVES_NO_MAP}; use mmdet.TranslateX and mmdet.TranslateY',
    'RandomCenterCropPad':
    f'{_MOVES_NO_MAP}; use mmdet.RandomCrop',
    'Albu':
    f'{_MOVES_NO_MAP}; use mmdet\'s transforms',
    'SegRescale':
    'it rescales the map alone',
}
#: MMCV's own versions, which know no box type; as the ``resize_type`` of
#: ``RandomResize`` and ``RandomChoiceResize``, 'Resize' means MMCV's.
REFUSED_MMCV = dict(
    RandomFlip="use 'mmdet.RandomFlip', which moves boxes and maps too",
    Pad="use 'mmdet.Pad', which moves boxes and maps too",
    Resize="use 'mmdet.Resize'; in mmdet.RandomResize and "
    "mmdet.RandomChoiceResize set resize_type='mmdet.Resize'",
    CenterCrop='use mmdet.RandomCrop')
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
#: How often it is sent: rarer than 1 of these is not found.
NUM_SEEDS = 10
#: Pixels so close to the border of the object are compared across it.
REACH = 4
#: Share of the border on which the comparison must have the same sign.
AGREEMENT = 0.85
#: Allowed distance of box and map edges, in pixels, and as share of the image.
TOLERANCE = (2., 0.01)
#: Fewer pixels than this prove nothing.
MIN_PIXELS = 30
#: What has one value in such a window has been filled in, not photographed.
FLAT = np.ones((5, 5), np.uint8)


class PipelineError(ValueError):
    """A transform that cannot be used with partial annotations."""


def check_training_pipeline(transforms: Sequence[Callable],
                            kinds: Sequence[str]) -> None:
    """Check the transforms of a source for training.

    Args:
        transforms (Sequence[Callable]): The built pipeline.
        kinds (Sequence[str]): Annotation kinds of the source.

    Raises:
        PipelineError: Naming the transform and what to use instead.
    """
    refuse_by_name(transforms, kinds)
    _check_order(transforms)
    steps = [step for step in transforms if is_augmentation(step)]
    has_map = SEM_SEG in kinds or any(
        type(step).__name__ == 'LoadPseudoMask' for step in transforms)
    for seed in range(NUM_SEEDS if steps and kinds else 0):
        if _problem(steps, kinds, has_map, seed) is None:
            continue
        for number in range(1, len(steps) + 1):
            problem = _problem(steps[:number], kinds, has_map, seed)
            if problem is not None:
                raise PipelineError(
                    'the pipeline does not keep an image with annotation '
                    f'kinds {tuple(kinds)} and its annotation together: after '
                    f'{step_name(steps[number - 1])}, {problem}. A transform '
                    'must move `img`, `gt_seg_map` and `gt_bboxes` alike, and '
                    'add no boxes to an image without them')


def refuse_by_name(transforms: Sequence[Callable],
                   kinds: Sequence[str]) -> None:
    """Raise for transforms that are known not to work."""
    for transform in _walk(transforms):
        reason = _refusal(transform, kinds)
        if reason is not None:
            raise PipelineError(
                f'{step_name(transform)} cannot be used with annotation kinds '
                f'{tuple(kinds)}: {reason}')


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


def _check_order(transforms: Sequence[Callable]) -> None:
    """The probe cannot see it: it neither loads nor labels."""
    for step, after in zip(transforms, transforms[1:]):
        if _turn(after) < _turn(step):
            raise PipelineError(
                f'{step_name(step)} stands before {step_name(after)}: load '
                'first, then augment, then label components, then pack, since '
                'nothing of it is done to what is loaded later or was labeled '
                'before. (A set for evaluation needs test_mode=True; it may '
                'load annotations after Resize)')


def _turn(transform: Callable) -> int:
    """When it comes: to load, augment, label components, or pack."""
    name = type(transform).__name__
    return 0 if name.startswith('Load') else 3 if name.startswith(
        'Pack') else 2 if name == 'LabelComponents' else 1


def _problem(steps: Sequence[Callable], kinds: Sequence[str], has_map: bool,
             seed: int) -> Optional[str]:
    """What is wrong with the probe after the steps, if anything."""
    sample = run_probe(steps, probe_sample(kinds, has_map), seed)
    problem = None if sample is None else find_disagreement(sample)
    if problem is not None and not has_map:
        # A rotated object does not fill its box, but fits its map.
        return _problem(steps, kinds, True, seed)
    return problem


def run_probe(steps: Sequence[Callable], sample: dict,
              seed: int) -> Optional[dict]:
    """The probe after the steps; None where one rejects it, or needs what it
    has not."""
    with seeded_draw(SeededIndex(0, seed)):
        for step in steps:
            try:
                sample = step(sample)
            except KeyError:
                return None
            except Exception as error:
                raise PipelineError(
                    f'{step_name(step)} fails on an image of '
                    f'{PROBE_SHAPE[1]}x{PROBE_SHAPE[0]}: {error!r}') from error
            if sample is None:
                return None
    return sample


def find_disagreement(sample: dict) -> Optional[str]:
    """Compare image, map and boxes of a transformed probe.

    Args:
        sample (dict): ``img``, ``img_shape``, ``annotation_kinds`` and, where
            there are any, ``gt_seg_map`` and ``gt_bboxes``.

    Returns:
        str | None: What disagrees.
    """
    image, seg_map = sample['img'], sample.get('gt_seg_map')
    shape = image.shape[:2]
    if tuple(sample['img_shape'][:2]) != shape:
        return f"img_shape is {sample['img_shape']} but the image is {shape}"
    boxes = sample.get('gt_bboxes')
    if boxes is not None and BBOX not in sample['annotation_kinds']:
        return 'there are boxes, where the image has no box annotation'
    if seg_map is not None and seg_map.shape != shape:
        return f'the map is {seg_map.shape} but the image is {shape}'
    if boxes is not None and len(boxes) != 1 or (boxes is None
                                                 and seg_map is None):
        return None  # the object has been cropped away, or was never there
    box = None if boxes is None else boxes.tensor[0].numpy()
    if seg_map is None:
        seg_map = filled(box, shape)
    marked, ignored = seg_map == 1, seg_map == IGNORE_INDEX
    if marked.sum() < MIN_PIXELS:
        return None
    if box is not None:
        rows, columns = np.nonzero(marked)
        extent = np.array(
            [columns.min(),
             rows.min(),
             columns.max() + 1,
             rows.max() + 1])
        problem = _compare_box(box, extent, shape, ignored)
        if problem is not None:
            return problem
    return _compare_map(image, marked, ignored)


def _compare_box(box: np.ndarray, extent: np.ndarray, shape: Sequence[int],
                 ignored: np.ndarray) -> Optional[str]:
    """Does the box enclose the object of the map?"""
    box = np.clip(box, 0, [*shape[::-1], *shape[::-1]])
    outside = np.concatenate([box[:2] - extent[:2], extent[2:] - box[2:]])
    # Where part of the box is erased, the map may be smaller than the box.
    if not (filled(box, shape).astype(bool) & ignored).any():
        outside = np.abs(outside)
    if outside.max() > TOLERANCE[0] + TOLERANCE[1] * max(shape):
        return (f'the box is {box.round(1).tolist()} but the map shows the '
                f'object in {extent.tolist()}')
    return None


def _compare_map(image: np.ndarray, marked: np.ndarray,
                 ignored: np.ndarray) -> Optional[str]:
    """Does the image change across the border of the object in the map?

    The two sides are compared locally, so that neither the level nor the sign
    of the contrast matters, which color transforms change: only that it has
    the same sign all along the border. By chance half of it has.
    """
    gray = image.astype(np.float32).reshape(*marked.shape, -1).sum(-1)
    flat = (cv2.dilate(gray, FLAT) == cv2.erode(gray, FLAT)).astype(np.uint8)
    judged = (cv2.dilate(flat, FLAT) == 0) & ~ignored
    sides = [(judged & side).astype(np.float32) for side in (marked, ~marked)]
    sums = [_local_sum(gray * side) for side in sides]
    counts = [_local_sum(side) for side in sides]
    border = (counts[0] > REACH) & (counts[1] > REACH)
    if border.sum() < MIN_PIXELS:
        return None
    inside, outside = (a[border] / b[border] for a, b in zip(sums, counts))
    agree = max((inside > outside).mean(), (inside < outside).mean())
    if agree < AGREEMENT:
        return ('image and annotation disagree: the image shows the border '
                f'of the object on {100 * agree:.0f} % of where it should be')
    return None


def _local_sum(values: np.ndarray) -> np.ndarray:
    return cv2.boxFilter(values, -1, (2 * REACH + 1, ) * 2, normalize=False)


def filled(box: Sequence[float], shape: Sequence[int]) -> np.ndarray:
    """(H, W) uint8 map that is 1 inside a box."""
    x1, y1, x2, y2 = np.clip(np.round(box), 0, None).astype(int)
    inside = np.zeros(shape, np.uint8)
    inside[y1:y2, x1:x2] = 1
    return inside


def probe_sample(kinds: Sequence[str], has_map: bool) -> dict:
    """A bright object on a dark ground, both textured, as it is loaded."""
    image = np.random.RandomState(0).randint(20, 60, (*PROBE_SHAPE, 3),
                                             np.uint8)
    seg_map = filled(PROBE_BOX, PROBE_SHAPE)
    image += 120 * seg_map[..., None]
    sample = dict(
        img=image,
        img_path='probe.png',
        img_id='probe',
        img_shape=PROBE_SHAPE,
        ori_shape=PROBE_SHAPE,
        sample_idx=0,
        source='probe',
        annotation_kinds=tuple(kinds))
    if has_map:
        sample.update(
            gt_seg_map=seg_map, ignore_index=IGNORE_INDEX, seg_fields=[])
    if BBOX in kinds:
        sample.update(
            gt_bboxes=HorizontalBoxes(torch.tensor([PROBE_BOX]).float()),
            gt_bboxes_labels=np.zeros(1, np.int64),
            gt_ignore_flags=np.zeros(1, bool))
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


def is_augmentation(transform: Callable) -> bool:
    """Whether it neither loads, nor labels, nor packs."""
    return _turn(transform) == 1


def step_name(transform: Callable) -> str:
    library = type(transform).__module__.split('.')[0]
    name = getattr(transform, '__name__', type(transform).__name__)
    return f'{library}.{name}'
