# Copyright (c) mmbombo contributors.
"""What every source is, whatever its files look like."""
import os.path as osp
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from mmcv.transforms import LoadImageFromFile

from mmbombo.registry import TRANSFORMS
from mmbombo.structures import (DEPTH, IMAGE_LABEL, REGIONS, SALIENCY, SEM_SEG,
                                annotation_kind, check_kinds)
from .checks.objects_check import warn_without_objects
from .checks.refused_transforms import refuse_by_name
from .checks.training_pipeline import check_training_pipeline, is_augmentation
from .draw_seed import seeded_draw
from .errors import DatasetError
from .image_list import keep_listed
from .image_size import refuse_large
from .transforms.load_partial_annotations import LoadPartialAnnotations
from .transforms.recorded_moves import move_maps


class SourceMixin:
    """Makes an :class:`mmengine.dataset.BaseDataset` a source.

    A source is a data set whose images all carry the same, declared annotation
    kinds. Each sample says which, from which source it comes, and its index;
    its transforms are seeded from the draw. A sample that cannot be loaded
    names its file. :meth:`declare` comes before ``__init__``, which builds and
    checks the pipeline.
    """
    annotation_kinds: Sequence[str]
    source: str
    place: str = ''  #: what lists its images, for messages
    data_help: str = ''  #: how to get the data
    coco_files: Sequence[str] = ()  #: COCO files that it was read from
    #: detection classes of which not every object has a box
    incomplete_classes: Sequence[str] = ()
    #: index of the first image, when the source is part of a larger data set
    index_offset: int = 0
    #: meaning of the ids in mask files; None without the kind ``sem_seg``
    seg_id_table: Optional[np.ndarray] = None
    #: color of each id in mask files
    seg_colors: Optional[Sequence[Sequence[int]]] = None

    def __init__(self,
                 pipeline: Sequence[Union[dict, Callable]] = (),
                 test_mode: bool = False,
                 **kwargs) -> None:
        super().__init__(
            pipeline=self.build_pipeline(pipeline, test_mode),
            test_mode=test_mode,
            **kwargs)

    def declare(self,
                annotation_kinds: Sequence[str],
                source: str,
                data_help: str = '',
                incomplete_classes: Sequence[str] = ()) -> None:
        """Set what the source is; called before the data are read."""
        self.annotation_kinds = check_kinds(annotation_kinds)
        self.source = source
        self.data_help = data_help
        self.incomplete_classes = incomplete_classes

    def build_pipeline(self, pipeline: Sequence[Union[dict, Callable]],
                       test_mode: bool) -> List[Callable]:
        """Build the transforms and check that they fit the source."""
        transforms = [
            TRANSFORMS.build(step) if isinstance(step, dict) else step
            for step in pipeline
        ]
        check = refuse_by_name if test_mode else check_training_pipeline
        kinds = kinds_after(transforms, self.annotation_kinds)
        if not test_mode or kinds != (IMAGE_LABEL, ):  # tags are of no place
            check(transforms, kinds)
        if {SALIENCY, REGIONS, DEPTH} & {*kinds}:
            transforms = [
                x for step in transforms
                for x in [step, *[move_maps] * is_augmentation(step)]
            ]
        return transforms

    @property
    def sample_kinds(self) -> Tuple[str, ...]:
        """Kinds of its samples: the declared, and what transforms conclude."""
        return kinds_after(self.pipeline.transforms, self.annotation_kinds)

    def require_place(self, path: Optional[str], key: str) -> None:
        """Raise if a file or folder that the config names is not there."""
        if path and not osp.exists(path):
            raise DatasetError(
                f'source {self.source!r}: {key} {path!r} does not exist (it '
                f'means {osp.abspath(path)}). Set `{key}` of this source in '
                'the config to where the data are, or get them. '
                f'{self.data_help}'.rstrip())

    def require_images(self, data_list: Sequence, place: str) -> None:
        """Raise if the source is empty."""
        if not data_list:
            raise DatasetError(
                f'source {self.source!r} has no image with the kinds '
                f'{self.annotation_kinds} that its config asks for: {place} '
                'lists none (of a folder, files are listed that end as '
                '`img_suffix` and `seg_map_suffix` say)')

    def add_maps(self, kind: str, infos: Sequence[dict], prefix: dict) -> None:
        """Name the map of each image, ``NAME.png`` of ``NAME.*``.

        It is below ``prefix`` of the kind, such as ``'saliency_path'``, as the
        image is below its folder.
        """
        if kind not in self.annotation_kinds:
            return
        key = annotation_kind(kind).info_key
        images = prefix.get('img_path') or prefix.get('img')
        for info in infos:
            if key in info:  # of a data set of the user's
                continue
            if not prefix.get(key):
                raise DatasetError(
                    f'source {self.source!r}: annotation_kinds declares '
                    f'{kind!r}; name the folder of the maps, '
                    f'data_prefix=dict({key}=...)')
            info[key] = osp.join(prefix[key],
                                 map_name(info['img_path'], images))

    def full_init(self) -> None:
        """Read the list of images, and load the first one of it."""
        if self._fully_initialized:
            return
        self._check_incomplete_classes()
        super().full_init()
        warn_without_objects(self)
        for index in self.first_indices():
            try:
                self.load(index)
            except DatasetError as error:
                raise DatasetError(
                    f'{error}. {self.data_help}'.rstrip('. ')) from error

    def filter_data(self) -> List[dict]:
        """The images that ``filter_cfg['image_list']`` names, or all."""
        path = (self.filter_cfg or {}).get('image_list')
        if path is None:
            return super().filter_data()
        try:
            return keep_listed(self.data_list, path)
        except DatasetError as error:
            raise DatasetError(f'source {self.source!r}: {error}') from error

    def _check_incomplete_classes(self) -> None:
        """Refuse what is no list of detection classes."""
        names = self.incomplete_classes
        known = self._metainfo.get('classes', ())
        if isinstance(names, str) or not {*names} <= {*known}:
            raise DatasetError(
                f'source {self.source!r}: incomplete_classes={names!r} must '
                f"be a list of names out of metainfo['classes'], {known}")

    def first_indices(self) -> Sequence[int]:
        """Indices of the samples that are loaded when the source is built."""
        return (0, )

    def load(self, idx: int) -> dict:
        """A sample as the pipeline loads it, without what comes after; only
        what the data set says of it where the pipeline loads it in another
        way."""
        results = self.get_data_info(idx)
        loaders = [
            step for step in self.pipeline.transforms
            if isinstance(step, (LoadImageFromFile, LoadPartialAnnotations))
        ]
        if not any(isinstance(step, LoadImageFromFile) for step in loaders):
            return results
        try:
            if 'img_path' in results:
                refuse_large(results['img_path'])
            for step in loaders:
                results = step(results)
        except DatasetError as error:
            raise DatasetError(f'source {self.source!r}: {error}') from error
        except Exception as error:  # image libraries raise many types
            path = getattr(error, 'filename', None) or results['img_path']
            raise DatasetError(
                f'source {self.source!r}: {path}, listed in {self.place}, is '
                f'missing or not an image ({error})') from error
        return results

    def get_data_info(self, idx: int) -> Dict[str, Any]:
        """Annotation of one image, with what its source declares."""
        data_info = super().get_data_info(idx)
        data_info['sample_idx'] += self.index_offset
        data_info['annotation_kinds'] = self.annotation_kinds
        data_info['source'] = self.source
        if self.incomplete_classes:
            classes = self._metainfo['classes']
            data_info['incomplete_labels'] = [
                classes.index(name) for name in self.incomplete_classes
            ]
        if SEM_SEG in self.annotation_kinds:
            data_info['seg_id_table'] = self.seg_id_table
            data_info['seg_classes'] = self._metainfo['seg_classes']
            if self.seg_colors is not None:
                data_info['seg_colors'] = self.seg_colors
        return data_info

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline; if it fails over a file, name it."""
        try:
            info = self.get_data_info(idx)
            if 'img_path' in info:
                refuse_large(info['img_path'])
            return self.pipeline(info)
        except Exception:
            self.load(idx)  # raises if it is that
            raise

    def __getitem__(self, idx: int) -> dict:
        """The transformed sample; its randomness comes from ``idx``."""
        with seeded_draw(idx):
            return super().__getitem__(int(idx))


def kinds_after(transforms: Sequence[Callable],
                kinds: Sequence[str]) -> Tuple[str, ...]:
    """Annotation kinds, and what transforms add to them."""
    for transform in transforms:
        if hasattr(transform, 'adds_kinds'):
            kinds = check_kinds([*kinds, *transform.adds_kinds(kinds)])
    return tuple(kinds)


def map_name(image: str, folder: Optional[str]) -> str:
    """``NAME.png`` of an image ``NAME.*``, below the folder of the images."""
    name = osp.relpath(image, folder) if folder else '..'
    if name.startswith('..'):
        name = osp.basename(image)
    return osp.splitext(name)[0] + '.png'
