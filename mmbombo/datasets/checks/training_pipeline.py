# Copyright (c) mmbombo contributors.
"""Does a pipeline move image, map and boxes together?

A probe, whose map and box are known, goes through the configured transforms,
with a few seeds, so that a user's own are judged too. A mistake that no seed
brings about, or that only other images show, passes.
"""
from typing import Callable, Optional, Sequence

import cv2
import numpy as np
import torch
from mmdet.structures.bbox import HorizontalBoxes

from mmbombo.structures import BBOX, IGNORE_INDEX, REGIONS, SALIENCY, SEM_SEG
from mmbombo.structures.saliency import UNKNOWN_SALIENCY
from ..draw_seed import SeededIndex, seeded_draw
from ..transforms.recorded_moves import move_maps
from .refused_transforms import PipelineError, refuse_by_name, step_name

#: Height and width of the probe image, and its object: x1, y1, x2, y2.
PROBE_SHAPE = (168, 232)
PROBE_BOX = (28, 36, 108, 92)
#: How often it is sent.
NUM_SEEDS = 10
#: Maps that :func:`move_maps` moves: what is unknown in them, and what the
#: object is above.
MOVED_MAPS = dict(
    gt_saliency=(UNKNOWN_SALIENCY, .5), gt_superpixels=(0, 1.5))
#: Side of the window in which pixels are compared, and filled ones found.
WINDOW, FLAT = (9, 9), np.ones((5, 5), np.uint8)
#: Fewer pixels than this prove nothing.
MIN_PIXELS = 30
#: Share of the border on which the comparison must have the same sign.
AGREEMENT = 0.85


def check_training_pipeline(transforms: Sequence[Callable],
                            kinds: Sequence[str]) -> None:
    """Raise ``PipelineError`` naming a transform of a source for training that
    does not fit, and what to do."""
    refuse_by_name(transforms, kinds)
    for step, after in zip(transforms, transforms[1:]):
        if _turn(after) < _turn(step):  # which the probe cannot see
            raise PipelineError(
                f'{step_name(step)} stands before {step_name(after)}: load '
                'first, then augment, label components, and pack, since '
                'nothing of it is done to what is loaded later or was labeled '
                'before. (A set for evaluation needs test_mode=True; it may '
                'load annotations after Resize)')
    steps = [step for step in transforms if is_augmentation(step)]
    has_map = SEM_SEG in kinds or any(
        type(step).__name__ == 'LoadPseudoMask' for step in transforms)
    for seed in range(NUM_SEEDS if steps and kinds else 0):
        if _problem(steps, kinds, has_map, seed) is None:
            continue
        for end in range(1, len(steps) + 1):
            problem = _problem(steps[:end], kinds, has_map, seed)
            if problem is not None:
                raise PipelineError(
                    f'after {step_name(steps[end - 1])}, an image with '
                    f'annotation kinds {tuple(kinds)} and its annotation are '
                    f'not together: {problem}. A transform must move `img`, '
                    '`gt_seg_map` and `gt_bboxes` alike, record the move in '
                    '`homography_matrix` if there are saliency maps or '
                    'regions, and add no boxes to an image without them')


def _turn(transform: Callable) -> int:
    """When it comes: to load, augment, make labels of the result, or pack."""
    name = type(transform).__name__
    labels = name == 'LabelComponents' or hasattr(transform, 'adds_kinds')
    return {'Load': 0, 'Pack': 3}.get(name[:4], 2 if labels else 1)


def is_augmentation(transform: Callable) -> bool:
    """Whether it neither loads, nor labels, nor packs."""
    return _turn(transform) == 1


def _problem(steps: Sequence[Callable], kinds: Sequence[str], has_map: bool,
             seed: int) -> Optional[str]:
    """What is wrong with the probe after the steps, if anything."""
    sample = run_probe(steps, probe_sample(kinds, has_map), seed)
    problem = None if sample is None else find_disagreement(sample)
    for name, (unknown, threshold) in MOVED_MAPS.items():
        if sample is not None and name in sample:
            values = move_maps(sample)[name]
            as_ids = np.where(values == unknown, IGNORE_INDEX,
                              values > threshold)
            problem = problem or find_disagreement(
                dict(sample, gt_seg_map=as_ids.astype(np.uint8)))
    if problem is not None and not has_map:
        # A rotated object does not fill its box, but fits its map.
        return _problem(steps, kinds, True, seed)
    return problem


def run_probe(steps: Sequence[Callable], sample: dict,
              seed: int) -> Optional[dict]:
    """The probe after the steps; None if one rejects it or needs more."""
    with seeded_draw(SeededIndex(0, seed)):
        for step in steps:
            try:
                sample = step(sample)
            except KeyError:
                return None
            except Exception as error:
                raise PipelineError(
                    f'{step_name(step)} fails on an image of 232x168 pixels: '
                    f'{error!r}') from error
            if sample is None:
                return None
    return sample


def find_disagreement(sample: dict) -> Optional[str]:
    """Say what of image, map and boxes of a transformed probe disagrees."""
    seg_map, boxes = sample.get('gt_seg_map'), sample.get('gt_bboxes')
    shape = sample['img'].shape[:2]
    if tuple(sample['img_shape'][:2]) != shape:
        return f"img_shape is {sample['img_shape']} but the image is {shape}"
    if boxes is not None and BBOX not in sample['annotation_kinds']:
        return 'there are boxes, where the image has no box annotation'
    if seg_map is not None and seg_map.shape != shape:
        return f'the map is {seg_map.shape} but the image is {shape}'
    if boxes is not None and len(boxes) != 1:
        return None  # the object has been cropped away
    if boxes is not None:
        box = boxes.tensor[0].numpy().clip(0, [*shape[::-1], *shape[::-1]])
        filled_box = filled(box, shape)
        seg_map = filled_box if seg_map is None else seg_map
        marked = np.nonzero(seg_map == 1)
        # Where part of the box is erased, the map may be smaller.
        erased = (filled_box == 1) & (seg_map == IGNORE_INDEX)
        if len(marked[0]) >= MIN_PIXELS and not erased.any():
            extent = [
                f(axis) + add for f, add in ((np.min, 0), (np.max, 1))
                for axis in marked[::-1]
            ]
            if np.abs(box - extent).max() > 2 + .01 * max(shape):
                return (f'the box is {box.round(1).tolist()} but the map shows'
                        f' the object in {extent}')
    return None if seg_map is None else _compare_map(
        sample['img'], seg_map == 1, seg_map == IGNORE_INDEX)


def _compare_map(image: np.ndarray, marked: np.ndarray,
                 ignored: np.ndarray) -> Optional[str]:
    """Does the image change across the border of the object in the map?

    The two sides are compared locally, so that neither the level nor the sign
    of the contrast matters, which color transforms change: only that it has
    the same sign all along the border. By chance half of it has. What has been
    filled in, rather than photographed, is not judged.
    """
    gray = image.astype(np.float32).reshape(*marked.shape, -1).sum(-1)
    flat = (cv2.dilate(gray, FLAT) == cv2.erode(gray, FLAT)).astype(np.uint8)
    judged = (cv2.dilate(flat, FLAT) == 0) & ~ignored
    sides = [(judged & side).astype(np.float32) for side in (marked, ~marked)]
    counts = [cv2.blur(side, WINDOW) for side in sides]
    border = np.minimum(*counts) > .05
    if border.sum() < MIN_PIXELS:
        return None
    inside, outside = (cv2.blur(gray * side, WINDOW)[border] / count[border]
                       for side, count in zip(sides, counts))
    agree = max((inside > outside).mean(), (inside < outside).mean())
    if agree < AGREEMENT:
        return ('the image shows the border of the object on '
                f'{100 * agree:.0f} % of where the annotation has it')
    return None


def filled(box: Sequence[float], shape: Sequence[int]) -> np.ndarray:
    """(H, W) uint8 map that is 1 inside a box."""
    x1, y1, x2, y2 = np.clip(np.round(box), 0, None).astype(int)
    inside = np.zeros(shape, np.uint8)
    inside[y1:y2, x1:x2] = 1
    return inside


def probe_sample(kinds: Sequence[str], has_map: bool) -> dict:
    """A bright object on a dark ground, both textured, as it is loaded."""
    seg_map = filled(PROBE_BOX, PROBE_SHAPE)
    texture = np.random.RandomState(0).randint(20, 60, (*PROBE_SHAPE, 3))
    sample = dict(
        img=(texture + 120 * seg_map[..., None]).astype(np.uint8),
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
    if SALIENCY in kinds:
        sample.update(
            gt_saliency=seg_map.astype(np.float32),
            saliency_frame=(None, PROBE_SHAPE, (1., 1.)))
    if REGIONS in kinds:
        sample.update(
            gt_superpixels=seg_map.astype(np.uint16) + 1,
            superpixels_frame=(None, PROBE_SHAPE, (1., 1.)))
    if BBOX in kinds:
        sample.update(
            gt_bboxes=HorizontalBoxes(torch.tensor([PROBE_BOX]).float()),
            gt_bboxes_labels=np.zeros(1, np.int64),
            gt_ignore_flags=np.zeros(1, bool),
            instances=[dict(bbox=PROBE_BOX, bbox_label=0, ignore_flag=0)])
    return sample
