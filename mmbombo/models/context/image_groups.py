# Copyright (c) mmbombo contributors.
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mmdet.structures import SampleList
from torch import Tensor

from mmbombo.utils import UserError


def group_images(
    samples: SampleList, sources: Optional[Dict[str, Sequence[str]]]
) -> List[Tuple[Optional[str], List[int]]]:
    """Task and positions of each group of a batch that runs on its own.

    ``sources`` maps a task to the names of the sources of its batch; groups
    come in its order. With None (and None for the task) they are the images of
    equal annotation kinds: images with boxes make the detection batch and
    images with masks the segmentation batch of the papers. Images with both
    are a group, and images with none another. With
    :class:`PartialAnnotationSampler` every rank has the same groups, in the
    same order, in every step.
    """
    groups: Dict[Any, List[int]] = {task: [] for task in sources or ()}
    tasks = {name: task for task in groups for name in sources[task]}
    for i, sample in enumerate(samples):
        group = frozenset(sample.annotation_kinds)
        if sources is not None:
            group = tasks.get(sample.source)
        if group is None:
            raise UserError(f"the source '{sample.source}' is in none of the "
                            f'forward_groups, which name {sorted(tasks)}')
        groups.setdefault(group, []).append(i)
    return [(None if sources is None else group, images)
            for group, images in groups.items() if images]


def mean_over_groups(parts: Sequence[Tuple[dict, int]]) -> Dict[str, Any]:
    """Merge what one loss gave on several groups of n >= 1 images each.

    A task that is annotated in several groups must not weigh more for it, so
    values (tensors, or lists of tensors that are to be summed) are averaged,
    each group by its number of images.
    """
    if len(parts) == 1:
        return dict(parts[0][0])
    total = sum(count for _, count in parts)
    merged: Dict[str, Tensor] = {}
    for losses, count in parts:
        for key, value in losses.items():
            if isinstance(value, (list, tuple)):
                value = sum(x.mean() for x in value)
            merged[key] = merged.get(key, 0.) + value * (count / total)
    return merged
