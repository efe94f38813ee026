# Copyright (c) mmbombo contributors.
"""What every source is, whatever its files look like."""
import gc
from contextlib import contextmanager
from typing import (Any, Callable, Dict, Iterator, List, Optional, Sequence,
                    Tuple, Union)

import numpy as np

from mmbombo.datasets.checks.evaluation_pipeline import \
    check_evaluation_pipeline
from mmbombo.datasets.checks.training_pipeline import check_pipeline
from mmbombo.registry import TRANSFORMS
from mmbombo.structures import SEM_SEG, check_kinds
from .draw_seed import seeded_draw
from .errors import DatasetError


class SourceMixin:
    """Makes an :class:`mmengine.dataset.BaseDataset` a source.

    A source is a data set whose images all carry the same, declared
    annotation kinds. Each sample says which, from which source it comes, and
    its index; its transforms are seeded from the draw.

    Attributes:
        annotation_kinds (tuple[str, ...]): The declared kinds.
        source (str): Name of the source.
        index_offset (int): Index of the first image, when the source is part
            of a larger data set.
        seg_id_table (np.ndarray, optional): Meaning of the ids in mask files;
            None without the kind ``sem_seg``.
    """
    annotation_kinds: Sequence[str]
    source: str
    index_offset: int = 0
    seg_id_table: Optional[np.ndarray] = None

    def declare(self, annotation_kinds: Sequence[str], source: str) -> None:
        """Set what the source is; called before the data are read."""
        self.annotation_kinds = check_kinds(annotation_kinds)
        self.source = source

    def build_pipeline(self, pipeline: Sequence[Union[dict, Callable]],
                       test_mode: bool) -> List[Callable]:
        """Build the transforms and check that they fit the source.

        Args:
            pipeline (Sequence[dict | Callable]): Transforms or their configs.
            test_mode (bool): Whether the source is for evaluation.

        Returns:
            list[Callable]: The transforms.
        """
        transforms = [
            TRANSFORMS.build(step) if isinstance(step, dict) else step
            for step in pipeline
        ]
        check_pipeline(
            transforms, self.annotation_kinds, probe=not test_mode)
        if test_mode:
            check_evaluation_pipeline(transforms, self.source)
        return transforms

    @property
    def sample_kinds(self) -> Tuple[str, ...]:
        """Kinds of its samples: the declared, and what transforms conclude."""
        kinds = self.annotation_kinds
        for transform in self.pipeline.transforms:
            if hasattr(transform, 'adds_kinds'):
                kinds = check_kinds([*kinds, *transform.adds_kinds(kinds)])
        return kinds

    def require_images(self, data_list: Sequence[dict], place: str) -> None:
        """Raise if the source is empty."""
        if not data_list:
            raise DatasetError(
                f'source {self.source!r} has no image with the kinds '
                f'{self.annotation_kinds} that its config asks for: {place} '
                'lists none (of a folder, files are listed that end as '
                '`img_suffix` and `seg_map_suffix` say)')

    def full_init(self) -> None:
        """Read the list of images, as MMEngine does."""
        with older_objects_kept():
            super().full_init()

    def get_data_info(self, idx: int) -> Dict[str, Any]:
        """Annotation of one image, with what its source declares."""
        data_info = super().get_data_info(idx)
        data_info['sample_idx'] += self.index_offset
        data_info['annotation_kinds'] = self.annotation_kinds
        data_info['source'] = self.source
        if SEM_SEG in self.annotation_kinds:
            data_info['seg_id_table'] = self.seg_id_table
            data_info['seg_classes'] = self._metainfo['seg_classes']
        return data_info

    def __getitem__(self, idx: int) -> dict:
        """The transformed sample; its randomness comes from ``idx``."""
        with seeded_draw(idx):
            return super().__getitem__(int(idx))


@contextmanager
def older_objects_kept() -> Iterator[None]:
    """Let the collection of garbage pass over what is there already.

    MMEngine collects garbage after it has read a list of images; to look at
    everything that the libraries have made takes longer than to read an index
    of thousands of images.
    """
    if gc.get_freeze_count():  # by somebody else, who counts on it
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
