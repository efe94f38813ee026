# Copyright (c) mmbombo contributors.
"""Which sources a data set consists of.

Sampler, checks and metrics ask this one place, so that none sees sources that
another does not.
"""
from typing import Any, List

from mmbombo.utils import UserError


def leaf_datasets(dataset: Any) -> List[Any]:
    """The data sets inside concatenations and wrappers, in order.

    A concatenation has ``datasets``, and a wrapper a ``dataset`` and no
    ``annotation_kinds`` of its own.
    """
    if hasattr(dataset, 'datasets'):
        return [
            leaf for part in dataset.datasets for leaf in leaf_datasets(part)
        ]
    if hasattr(dataset, 'dataset') and not _is_declared(dataset):
        return leaf_datasets(dataset.dataset)
    return [dataset]


def source_sizes(dataset: Any) -> List[int]:
    """Number of images of each source of a training data set; ``UserError`` if
    it does not say what its sources are."""
    require_no_wrapper(dataset)
    if hasattr(dataset, 'source_sizes'):
        return list(dataset.source_sizes)
    if _is_declared(dataset):
        return [len(dataset)]
    raise UserError(
        f'{type(dataset).__name__} does not declare its annotation kinds, so '
        'that a batch cannot be composed of its sources: wrap each set in '
        "dict(type='PartialAnnotationDataset', annotation_kinds=..., "
        "dataset=...), and several of these in dict(type='MixedSourceDataset',"
        ' datasets=[...])')


def require_no_wrapper(dataset: Any) -> None:
    """Raise ``UserError`` if a wrapper or foreign concatenation hides sources.

    It draws the images in its own order and loses the seeds of the draws, and
    what it does to images no check has seen.
    """
    if _is_declared(dataset):
        return
    hidden = [leaf for leaf in leaf_datasets(dataset) if _is_declared(leaf)]
    if not hidden:
        return
    names = [str(getattr(x, 'source', type(x).__name__)) for x in hidden]
    raise UserError(
        f'{type(dataset).__name__} hides the source(s) {names} from the '
        'sampler. Drop it: PartialAnnotationSampler repeats shorter sources, '
        '`source_ratio` sets their shares, '
        "dict(type='MixedSourceDataset', datasets=[...]) joins several, and "
        'transforms belong to the `pipeline` of each source (those that mix '
        'images move no maps)')


def _is_declared(dataset: Any) -> bool:
    return hasattr(dataset, 'annotation_kinds') or hasattr(
        dataset, 'source_sizes')
