# Copyright (c) mmbombo contributors.
from typing import Callable, Sequence

import cv2
import numpy as np

from mmbombo.structures import (BBOX, IGNORE_INDEX, IMAGE_LABEL, SEM_SEG,
                                annotation_kind)
from .refused_transforms import PipelineError, refuse_by_name, step_name
from .training_pipeline import (NUM_SEEDS, PROBE_BOX, PROBE_SHAPE, filled,
                                find_disagreement, is_augmentation,
                                probe_sample, run_probe)

#: What makes several views of an image on purpose is not judged.
TEST_TIME_AUGMENTATION = ('TestTimeAug', 'MultiScaleFlipAug')


def check_evaluation_pipeline(transforms: Sequence[Callable],
                              kinds: Sequence[str]) -> None:
    """Raise ``PipelineError`` unless each image is shown whole and upright.

    Predictions are brought back to the original image by its scale alone, and
    compared with maps of the original size.
    """
    if tuple(kinds) == (IMAGE_LABEL, ):  # tags are of no place
        return
    refuse_by_name(transforms, kinds)
    holds_map = any(
        field.is_map for kind in kinds
        for field in annotation_kind(kind).fields)
    for seed in range(NUM_SEEDS):
        view, has_map = probe_sample((BBOX, SEM_SEG), has_map=True), False
        for step in transforms:
            if type(step).__name__ in TEST_TIME_AUGMENTATION:
                break
            has_map |= type(step).__name__ == 'LoadPartialAnnotations'
            if not is_augmentation(step):
                continue
            shape = view['img'].shape
            view = run_probe([step], view, seed)
            if view is None:
                break
            if not _is_whole(view):
                raise PipelineError(
                    f'{step_name(step)} is in a pipeline of evaluation, but '
                    'crops, moves or mirrors images, or scales them without a '
                    '`scale_factor`: take it out. Predictions are brought '
                    'back to the original image by its scale alone')
            if has_map and holds_map and view['img'].shape != shape:
                raise PipelineError(
                    f'{step_name(step)} stands behind LoadPartialAnnotations '
                    'in a pipeline of evaluation: put it before, since maps '
                    'are compared at their original size')


def _is_whole(view: dict) -> bool:
    """Whether the object is at its place in the scaled image."""
    shape = view['img'].shape[:2]
    across, down = view.get('scale_factor', (1., 1.))[:2]
    height, width = (round(PROBE_SHAPE[0] * down),
                     round(PROBE_SHAPE[1] * across))
    if height > shape[0] or width > shape[1]:
        return False
    seg_map = np.full(shape, IGNORE_INDEX, np.uint8)
    seg_map[:height, :width] = cv2.resize(
        filled(PROBE_BOX, PROBE_SHAPE), (width, height),
        interpolation=cv2.INTER_NEAREST)
    return not find_disagreement(
        dict(
            img=view['img'],
            img_shape=shape,
            annotation_kinds=(SEM_SEG, ),
            gt_seg_map=seg_map))
