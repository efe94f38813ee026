# Copyright (c) mmbombo contributors.
"""Does a pipeline of evaluation show each image whole, upright and always
alike?

Predictions are brought back to the original image by its scale alone, so a
view that is cropped, turned or mirrored is measured in the wrong place. What
is random makes the results of two validations differ by chance.

The probe is that of :mod:`~mmbombo.datasets.checks.training_pipeline`,
without annotation: it judges what transforms do.
"""
import logging
from functools import partial
from typing import Any, Callable, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from mmengine.logging import print_log

from mmbombo.structures import BBOX, IGNORE_INDEX, SEM_SEG
from .extreme_draws import extreme_draws, generator_states
from .training_pipeline import (PROBE_BOX, PROBE_DRAWS, PROBE_SHAPE, Draws,
                                PipelineError, filled, find_disagreement,
                                is_frame, is_stock, probe_sample, step_name)

DRAWS: Sequence[Draws] = [
    partial(extreme_draws, 'low'),
    partial(extreme_draws, 'high'), *PROBE_DRAWS
]
#: What makes several views of an image on purpose, and packs them.
TEST_TIME_AUGMENTATION = ('TestTimeAug', 'MultiScaleFlipAug')
#: Random on purpose: the benchmark of robustness against corruptions.
CORRUPTIONS = ('Corrupt', )

Steps = Sequence[Callable]


def check_evaluation_pipeline(transforms: Steps, source: str) -> None:
    """Check what a pipeline of validation or test does to images.

    Noise of a user's own is only warned of: it may be what is tested. What
    cannot be probed, such as test-time augmentation, is not judged.

    Args:
        transforms (Sequence[Callable]): The built pipeline.
        source (str): Name of the source, for messages.

    Raises:
        PipelineError: Naming the transform that moves the image, or is
            random.
    """
    steps = _single_view(transforms)
    found = _first_step(steps, _misplacement)
    if found is not None:
        step, problem = found
        raise PipelineError(
            f"source '{source}' is for evaluation, but after "
            f'{step_name(step)} {problem}. Predictions are brought back to '
            'the original image by its scale alone: take it out of the '
            'pipeline')
    found = _first_step(steps, _randomness)
    if found is None:
        return
    step, problem = found
    message = (
        f"source '{source}' is for evaluation, but {step_name(step)} makes "
        f'{problem}, so results vary by chance')
    if is_stock(step) and type(step).__name__ not in CORRUPTIONS:
        raise PipelineError(f'{message}: take it out of the pipeline')
    print_log(message, logger='current', level=logging.WARNING)


def _single_view(transforms: Steps) -> Steps:
    """The steps that change an image, before it becomes several."""
    steps: List[Callable] = []
    for step in transforms:
        if type(step).__name__ in TEST_TIME_AUGMENTATION:
            break
        if not is_frame(step):
            steps.append(step)
    return steps


def _first_step(
    steps: Steps, judge: Callable[[List[dict]], Optional[str]]
) -> Optional[Tuple[Callable, str]]:
    """The first step after which the views are wrong, and how they are."""
    if judge(_views(steps)) is None:
        return None
    for number, step in enumerate(steps, start=1):
        problem = judge(_views(steps[:number]))
        if problem is not None:
            return step, problem
    return None


def _views(steps: Steps) -> List[dict]:
    """The probe after the steps; once where nothing is random, and never
    where a step needs more than the probe has."""
    views = []
    for draws in DRAWS:
        with draws():
            before = generator_states()
            view = _run(steps)
            drawn = generator_states() != before
        if view is None:
            return []
        views.append(view)
        if not drawn:
            break
    return views


def _run(steps: Steps) -> Optional[dict]:
    """The probe after the steps, with an annotation where they need one."""
    for kinds in ((), (BBOX, SEM_SEG)):
        view = _transformed(
            steps, probe_sample(kinds, has_map=SEM_SEG in kinds))
        if view is not None:
            return view
    return None


def _transformed(steps: Steps, view: Any) -> Optional[dict]:
    for step in steps:
        try:
            view = step(view)
        except Exception:
            # The first images of the validation set show why.
            return None
        if not isinstance(view, dict) or not isinstance(
                view.get('img'), np.ndarray):
            return None
    return view


def _misplacement(views: List[dict]) -> Optional[str]:
    """Where the object is not at its place in the scaled image."""
    for view in views:
        height, width = view['img'].shape[:2]
        across, down = view.get('scale_factor', (1., 1.))[:2]
        whole = round(PROBE_SHAPE[0] * down), round(PROBE_SHAPE[1] * across)
        if whole[0] > height or whole[1] > width:
            return 'part of the image is missing'
        if find_disagreement(_annotated(view, whole)) is not None:
            return ('the image is not where it was (cropped, moved, mirrored, '
                    'or scaled without a `scale_factor`)')
    return None


def _annotated(view: dict, whole: Tuple[int, int]) -> dict:
    """The view with the map that it should have; padding is ignored."""
    seg_map = np.full(view['img'].shape[:2], IGNORE_INDEX, np.uint8)
    seg_map[:whole[0], :whole[1]] = cv2.resize(
        filled(PROBE_BOX, PROBE_SHAPE).view(np.uint8),
        whole[::-1],
        interpolation=cv2.INTER_NEAREST)
    return dict(
        img=view['img'],
        img_shape=view['img'].shape[:2],
        annotation_kinds=(SEM_SEG, ),
        gt_seg_map=seg_map)


def _randomness(views: List[dict]) -> Optional[str]:
    for view in views[1:]:
        if view['img'].shape != views[0]['img'].shape:
            return 'images of random size'
        if not np.array_equal(view['img'], views[0]['img']):
            return 'random images'
    return None
