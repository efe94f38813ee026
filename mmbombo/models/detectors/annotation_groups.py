# Copyright (c) mmbombo contributors.
from typing import Any, Dict, List, Sequence, Tuple

from mmdet.structures import SampleList
from torch import Tensor


def group_by_kinds(samples: SampleList) -> List[List[int]]:
    """Group the images of a batch by the annotation kinds they have.

    Images with boxes make the detection batch and images with masks the
    segmentation batch of the papers. Images with both are a group, and images
    with none another. With :class:`PartialAnnotationSampler` every rank has
    the same groups, in the same order, in every step.

    Args:
        samples (list[:obj:`DetDataSample`]): Samples of the batch.

    Returns:
        list[list[int]]: Ascending positions of each group's images; groups in
        the order of their first image.
    """
    groups: Dict[frozenset, List[int]] = {}
    for i, sample in enumerate(samples):
        groups.setdefault(frozenset(sample.annotation_kinds), []).append(i)
    return list(groups.values())


def mean_over_groups(parts: Sequence[Tuple[dict, int]]) -> Dict[str, Any]:
    """Merge what one loss gave on several groups.

    A task that is annotated in several groups must not weigh more for it, so
    values are averaged, each group by its number of images.

    Args:
        parts (Sequence[tuple[dict, int]]): Per group the losses (tensors, or
            lists of tensors that are to be summed) and n >= 1 images.

    Returns:
        dict[str, Tensor | list[Tensor]]: Losses under the same keys; those of
        a single group unchanged, none if there is no group.
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
