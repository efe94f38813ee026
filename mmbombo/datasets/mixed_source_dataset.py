# Copyright (c) mmbombo contributors.
from typing import Any, Dict, List, Sequence, Tuple, Union

from mmengine.dataset import BaseDataset, ConcatDataset

from mmbombo.registry import DATASETS
from mmbombo.structures import annotation_kinds, check_kinds
from mmbombo.utils import UserError
from .draw_seed import SeededIndex
from .errors import DatasetError
from .source_tree import require_no_wrapper


# the second is the name of 0.1
@DATASETS.register_module(
    name=['MixedSourceDataset', 'MultiSourceDataset'])
class MixedSourceDataset(ConcatDataset):
    """Several sources as one data set.

    Args:
        datasets (Sequence[dict | BaseDataset]): The sources, e.g.
            :class:`PartialVOCDataset` or :class:`PartialAnnotationDataset`.
        lazy_init (bool): Whether to read the annotations later. Defaults to
            False.

    Raises:
        UserError: If a data set does not declare its annotation kinds, or
            hides sources that do.
        DatasetError: If there is no source, two have the same name, or
            sources contradict each other.
    """

    def __init__(self,
                 datasets: Sequence[Union[dict, BaseDataset]],
                 lazy_init: bool = False) -> None:
        # Not the parent's, which demands the same metainfo of all sources.
        self.datasets = [
            DATASETS.build(
                dict(dataset, lazy_init=True) if lazy_init else dataset)
            if isinstance(dataset, dict) else dataset for dataset in datasets
        ]
        _check_sources(self.datasets)
        self._metainfo = merge_metainfo(self.datasets)
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Read all sources and number their images through."""
        if self._fully_initialized:
            return
        super().full_init()
        for source, end in zip(self.datasets, self.cumulative_sizes):
            source.index_offset = end - len(source)

    @property
    def source_sizes(self) -> List[int]:
        """Number of images of each source."""
        return [len(source) for source in self.datasets]

    @property
    def annotation_kinds(self) -> Tuple[str, ...]:
        """Kinds that at least one source has."""
        return check_kinds({
            kind
            for source in self.datasets for kind in source.annotation_kinds
        })

    def __getitem__(self, idx: int) -> dict:
        """The transformed sample; its randomness comes from ``idx``."""
        number, local = self._get_ori_dataset_idx(idx)
        if isinstance(idx, SeededIndex):
            local = SeededIndex(local, idx.draw_seed)
        return self.datasets[number][local]


def _check_sources(sources: Sequence[BaseDataset]) -> None:
    if not sources:
        raise DatasetError('MixedSourceDataset: `datasets` is empty')
    for number, source in enumerate(sources):
        require_no_wrapper(source)
        if not hasattr(source, 'annotation_kinds'):
            raise UserError(
                f'datasets[{number}] ({type(source).__name__}) does not '
                'declare its annotation kinds: wrap it in '
                "dict(type='PartialAnnotationDataset', annotation_kinds=..., "
                'dataset=...)')
    names = [source.source for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatasetError(f'sources need different names, but `source` is '
                           f'{twice} more than once in {names}')


def merge_metainfo(sources: Sequence[BaseDataset]) -> Dict[str, Any]:
    """One metainfo for all sources, key by key.

    The classes of a task are those of the sources that have its annotation
    kind, which must agree; the word of sources without the kind counts only if
    no other speaks and they agree. ``DatasetError`` if two contradict each
    other.
    """
    merged: Dict[str, Any] = {}
    said_by: Dict[str, str] = {}

    def add(key: str, source: BaseDataset) -> None:
        value = source.metainfo[key]
        if key not in merged:
            merged[key], said_by[key] = value, source.source
        elif merged[key] != value:
            raise DatasetError(
                f'metainfo[{key!r}] of source {source.source!r} contradicts '
                f'that of source {said_by[key]!r}: {value} is not '
                f'{merged[key]}')

    kinds = [kind for kind in annotation_kinds() if kind.classes_key]
    for kind in kinds:
        key, palette = kind.classes_key, kind.palette_key
        speakers = [s for s in sources if key in s.metainfo]
        with_kind = [s for s in speakers if kind.name in s.annotation_kinds]
        if not with_kind and any(s.metainfo[key] != speakers[0].metainfo[key]
                                 for s in speakers):
            continue  # defaults, of which none is asked for
        for source in with_kind or speakers:
            add(key, source)
            # Colors are a matter of taste: the first source's do.
            if palette in source.metainfo and palette not in merged:
                add(palette, source)
    of_tasks = {x for k in kinds for x in (k.classes_key, k.palette_key)}
    for source in sources:
        for key in sorted(set(source.metainfo) - of_tasks):
            add(key, source)
    return merged
