# Copyright (c) mmbombo contributors.
"""A panoptic map in MMDetection's format, read into segments."""
from typing import List, Optional, Sequence, Tuple

import numpy as np
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.structures import DetDataSample
from torch import Tensor


def read_segments(panoptic: Tensor,
                  names: Sequence[str]) -> Tuple[np.ndarray, List[dict]]:
    """Number the segments of a map, as COCO's PNG files do.

    Args:
        panoptic (Tensor): ``(1, H, W)``, class + 1000 x number of the object;
            void is any class without a name.
        names (Sequence[str]): Of the classes.

    Returns:
        tuple: Ids ``(H, W)`` int32, 0 for void, and of each segment a dict of
        ``id``, ``label``, ``class_name``, ``number`` (0 for stuff) and
        ``area`` in pixels.
    """
    values, ids, areas = np.unique(
        panoptic[0].cpu().numpy(), return_inverse=True, return_counts=True)
    known = values % INSTANCE_OFFSET < len(names)
    number_of = np.cumsum(known, dtype=np.int32) * known
    segments = [
        dict(
            id=i,
            label=value % INSTANCE_OFFSET,
            class_name=names[value % INSTANCE_OFFSET],
            number=value // INSTANCE_OFFSET,
            area=area)
        for i, value, area in zip(number_of.tolist(), values.tolist(),
                                  areas.tolist()) if i
    ]
    return number_of[ids].reshape(panoptic.shape[-2:]), segments


def predicted_segments(
        sample: DetDataSample,
        names: Sequence[str]) -> Optional[Tuple[np.ndarray, List[dict]]]:
    """Segments of the panoptic prediction, whose classes are its own
    ``label_names`` or else ``names``; None without it or them."""
    if 'pred_panoptic_seg' not in sample:
        return None
    field = sample.pred_panoptic_seg
    names = field.get('label_names', names)
    return read_segments(field.sem_seg, names) if names else None
