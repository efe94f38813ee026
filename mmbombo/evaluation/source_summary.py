# Copyright (c) mmbombo contributors.
"""What the sources of a data set are annotated with."""
from collections import Counter
from typing import Any, List, NamedTuple, Tuple

from mmbombo.datasets.source_tree import leaf_datasets


class SourceSummary(NamedTuple):
    """One source of a data set, and the annotation kinds of its images."""
    name: str
    kinds: Tuple[str, ...]
    num_images: int

    def __str__(self) -> str:
        kinds = ', '.join(self.kinds) or 'no annotation'
        return f"'{self.name}' ({kinds}): {self.num_images} images"


def summarize_sources(dataset: Any) -> List[SourceSummary]:
    """List the sources of a data set, without loading an image.

    The infos of a set that has no ``annotation_kinds`` are read one by one.
    """
    summaries = []
    for leaf in leaf_datasets(dataset):
        if hasattr(leaf, 'annotation_kinds'):
            name = str(getattr(leaf, 'source', type(leaf).__name__))
            kinds = getattr(leaf, 'sample_kinds', leaf.annotation_kinds)
            summaries.append(SourceSummary(name, tuple(kinds), len(leaf)))
        else:
            summaries += _summarize_infos(leaf)
    return summaries


def _summarize_infos(dataset: Any) -> List[SourceSummary]:
    """Group the images by what their data infos say."""
    name = type(dataset).__name__
    if not hasattr(dataset, 'get_data_info'):
        return [SourceSummary(name, (), len(dataset))]
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    counts = Counter((str(info.get('source', name)),
                      tuple(info.get('annotation_kinds', ())))
                     for info in infos)
    return [SourceSummary(*key, num) for key, num in counts.items()]
