# Copyright (c) mmbombo contributors.
from typing import Dict, List, Sequence

import numpy as np
from mmengine.dataset import BaseDataset

from mmbombo.registry import DATASETS
from mmbombo.structures import SEM_SEG, annotation_kinds
from .errors import DatasetError
from .source import SourceMixin


# the second is the name of 0.1
@DATASETS.register_module(name=['ConcatSource', 'JoinedSource'])
class ConcatSource(SourceMixin, BaseDataset):
    """Several folders or lists of images as one source, such as VOC2007 and
    VOC2012.

    The sampler draws from the whole as from one set, so that a part's share
    of a batch is its share of the images, and there is one pipeline. (In
    :class:`MixedSourceDataset` each source has a fixed share of each batch.)

    Args:
        datasets (Sequence[dict]): The parts, e.g. of type
            :class:`PartialVOCDataset`, without pipeline, source and
            annotation kinds, which are the whole's.
        annotation_kinds (Sequence[str]): What all images are annotated with.
        source (str): Name of the source.
        test_mode (bool): Whether the set is for evaluation. Defaults to
            False.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        DatasetError: If there is no part, parts name their classes or ids
            differently, or two contain the same image.
    """

    def __init__(self,
                 datasets: Sequence[dict],
                 annotation_kinds: Sequence[str],
                 source: str,
                 test_mode: bool = False,
                 **kwargs) -> None:
        self.declare(annotation_kinds, source)
        if not datasets:
            raise DatasetError(f'source {source!r}: `datasets` is empty')
        parts = [self._build_part(part, test_mode) for part in datasets]
        for number, part in enumerate(parts[1:], start=1):
            self._require_same_classes(number, part, parts[0])
        self.seg_id_table = parts[0].seg_id_table
        self.data_help = parts[0].data_help
        self.place = ', '.join(part.place for part in parts)
        self.incomplete_classes = sorted(
            {x for part in parts for x in part.incomplete_classes})
        self.coco_files = [x for part in parts for x in part.coco_files]
        self._parts = parts
        super().__init__(
            metainfo=parts[0].metainfo,
            test_mode=test_mode,
            **kwargs)

    def _build_part(self, part: dict, test_mode: bool) -> BaseDataset:
        surplus = sorted({'pipeline', 'source', 'annotation_kinds'} & {*part})
        if surplus:
            raise DatasetError(
                f'source {self.source!r}: {surplus} belong to ConcatSource, '
                'not to the sets that it joins')
        return DATASETS.build(
            dict(
                part,
                source=self.source,
                annotation_kinds=self.annotation_kinds,
                test_mode=test_mode,
                serialize_data=False))

    def _require_same_classes(self, number: int, part: BaseDataset,
                              first: BaseDataset) -> None:
        place = f'source {self.source!r}: datasets[{number}]'
        keys = (kind.classes_key for kind in annotation_kinds())
        for key in filter(None, keys):
            if part.metainfo.get(key) != first.metainfo.get(key):
                raise DatasetError(
                    f'{place} has metainfo[{key!r}] {part.metainfo.get(key)}, '
                    f'where datasets[0] has {first.metainfo.get(key)}')
        if SEM_SEG in self.annotation_kinds and not np.array_equal(
                part.seg_id_table, first.seg_id_table):
            raise DatasetError(
                f'{place} gives ids in masks another meaning than '
                'datasets[0]: make their seg_id_map and seg_ignore_ids equal, '
                'or make them two sources')

    def load_data_list(self) -> List[dict]:
        """The images of all parts, one part after the other."""
        data_list = []
        part_of: Dict[str, int] = {}
        self._starts = []
        # The parts are needed once; the whole keeps their annotations.
        parts, self._parts = self._parts, []
        for number, part in enumerate(parts):
            self._starts.append(len(data_list))
            for data_info in part.data_list:
                path = data_info['img_path']
                if part_of.setdefault(path, number) != number:
                    raise DatasetError(
                        f'source {self.source!r}: {path} is in '
                        f'datasets[{part_of[path]}] and datasets[{number}]')
                data_list.append(data_info)
        return data_list

    def first_indices(self) -> List[int]:
        """The first image of each part."""
        return [start for start in self._starts if start < len(self)]
