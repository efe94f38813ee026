# Copyright (c) mmbombo contributors.
import os.path as osp
from typing import Callable, Dict, List, Optional, Sequence, Union

from mmengine.dataset import BaseDataset
from mmengine.utils import deprecated_api_warning

from mmbombo.datasets.checks.files import (ListedFile, check_data_root,
                                           check_exist, check_masks,
                                           number_lines, read_image_sizes)
from mmbombo.registry import DATASETS
from mmbombo.structures import BBOX, SEM_SEG, UNLISTED_LABEL
from .errors import DatasetError
from .index_cache import IndexCache
from .seg_ids import build_id_table
from .source import SourceMixin
from .unlisted_categories import split_unlisted
from .voc_metainfo import complete_metainfo
from .voc_xml import read_instances


@DATASETS.register_module()
class PartialVOCDataset(SourceMixin, BaseDataset):
    """A data set in Pascal VOC's layout, read as far as its kinds say.

    With the kind ``bbox`` the XML files are read, with ``sem_seg`` the masks,
    with neither only the images. A file of another kind is never opened.
    All files are checked when the data set is built; of a large set again
    only if one has changed, see :mod:`~mmbombo.datasets.index_cache`.

    Boxes are [xmin - 1, ymin - 1, xmax, ymax] of the XML file: pixels that
    are counted from 1, both ends included, become continuous coordinates.

    Args:
        ann_file (str): List of image ids, one per line, e.g.
            ``'ImageSets/Main/train.txt'``.
        data_root (str): Folder of the data set.
        annotation_kinds (Sequence[str]): What the images are annotated with:
            ``'bbox'``, ``'sem_seg'``, both or none.
        source (str, optional): Name of the source. Defaults to the name of
            the list.
        metainfo (dict, optional): ``classes``, ``seg_classes`` and palettes;
            see :func:`~mmbombo.datasets.voc_metainfo.complete_metainfo`.
        data_prefix (dict, optional): Subfolders ``img_path``, ``ann_path``
            and ``seg_map_path``. Default to VOC's.
        img_suffix (str): Suffix of images. Defaults to '.jpg'.
        seg_id_map (dict[int, int], optional): Id in the mask files to
            segmentation id. Defaults to None, ids are kept.
        seg_ignore_ids (Sequence[int]): Ids in the mask files to ignore,
            besides 255. Defaults to ().
        unlisted_classes (Sequence[str]): Names in the XML files, besides the
            classes, whose objects are none to the detector and ignored in
            masks that are made from boxes, see
            :mod:`~mmbombo.datasets.unlisted_categories`. Other names are
            refused: they may be misspelled. Defaults to ().
        data_help (str): How to get the data, for a user whose ``data_root``,
            list or listed files do not exist. Defaults to ''.
        pipeline (Sequence[dict | Callable]): Transforms. Defaults to ().
        test_mode (bool): Whether the set is for evaluation. Defaults to
            False.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        DatasetError: If a file is missing or unusable; the message names it.
    """
    DATA_PREFIX = dict(
        img_path='JPEGImages',
        ann_path='Annotations',
        seg_map_path='SegmentationClass')

    @deprecated_api_warning(
        dict(left_out_classes='unlisted_classes'), 'PartialVOCDataset')
    def __init__(self,
                 ann_file: str,
                 data_root: str,
                 annotation_kinds: Sequence[str],
                 source: Optional[str] = None,
                 metainfo: Optional[dict] = None,
                 data_prefix: Optional[dict] = None,
                 img_suffix: str = '.jpg',
                 seg_id_map: Optional[Dict[int, int]] = None,
                 seg_ignore_ids: Sequence[int] = (),
                 unlisted_classes: Sequence[str] = (),
                 data_help: str = '',
                 pipeline: Sequence[Union[dict, Callable]] = (),
                 test_mode: bool = False,
                 **kwargs) -> None:
        self.declare(annotation_kinds,
                     source or osp.splitext(osp.basename(ann_file))[0])
        metainfo = complete_metainfo(metainfo)
        check_data_root(data_root, self.source, data_help)
        self.img_suffix = img_suffix
        self.data_help = data_help
        self.unlisted_classes = self._check_unlisted(unlisted_classes,
                                                     metainfo['classes'])
        if SEM_SEG in self.annotation_kinds:
            self.seg_id_table = build_id_table(
                len(metainfo['seg_classes']), seg_id_map, seg_ignore_ids)
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix={
                **self.DATA_PREFIX,
                **(data_prefix or {})
            },
            pipeline=self.build_pipeline(pipeline, test_mode),
            test_mode=test_mode,
            **kwargs)

    def _check_unlisted(self, names: Sequence[str],
                        classes: Sequence[str]) -> Sequence[str]:
        """Refuse what is no list of names, or is a class."""
        if isinstance(names, str):
            raise DatasetError(
                f'source {self.source!r}: unlisted_classes must be a list of '
                f'names, such as [{names!r}], not the string {names!r}')
        both = [name for name in names if name in classes]
        if both:
            raise DatasetError(
                f'source {self.source!r}: unlisted_classes names {both}, '
                "which metainfo['classes'] does too")
        return tuple(names)

    def load_data_list(self) -> List[dict]:
        """Read the list of images and the annotations that it may read."""
        cache = IndexCache(self.data_root, self._recipe())
        data_list = cache.load()
        if data_list is None:
            lines = self._read_ids()
            self.require_images(lines, self.ann_file)
            data_list = self._read(lines)
            cache.store(data_list, self._files(lines))
        return data_list

    def _recipe(self) -> dict:
        """What the data list depends on beside the files."""
        kinds, metainfo = self.annotation_kinds, self._metainfo
        return dict(
            reader=f'{type(self).__module__}.{type(self).__qualname__}',
            ann_file=self.ann_file,
            folders=self.data_prefix,
            suffix=self.img_suffix,
            kinds=kinds,
            classes=metainfo['classes'] if BBOX in kinds else None,
            unlisted_categories=self.unlisted_classes
            if BBOX in kinds else None,
            seg_ids=self.seg_id_table.tolist() if SEM_SEG in kinds else None)

    def _files(self, lines: Dict[str, int]) -> List[str]:
        """All files that the data list was read from."""
        parts = [('img_path', self.img_suffix)]
        if BBOX in self.annotation_kinds:
            parts.append(('ann_path', '.xml'))
        if SEM_SEG in self.annotation_kinds:
            parts.append(('seg_map_path', '.png'))
        return [self.ann_file] + [
            file.path for folder, suffix in parts
            for file in self._listed_files(lines, folder, suffix)
        ]

    def _read(self, lines: Dict[str, int]) -> List[dict]:
        """Open and check all files."""
        ids = list(lines)
        images = self._listed_files(lines, 'img_path', self.img_suffix)
        sizes = read_image_sizes(images, self.source, self.data_help)
        data_list = [
            dict(img_id=img_id, img_path=image.path, height=size[0],
                 width=size[1])
            for img_id, image, size in zip(ids, images, sizes)
        ]
        if BBOX in self.annotation_kinds:
            self._add_boxes(data_list, lines)
        if SEM_SEG in self.annotation_kinds:
            self._add_masks(data_list, lines)
        return data_list

    def _read_ids(self) -> Dict[str, int]:
        """Image id to line number, in the order of the list."""
        if not osp.isfile(self.ann_file):
            message = (f'source {self.source!r}: ann_file {self.ann_file} '
                       'does not exist')
            raise DatasetError('\n  '.join(
                filter(None, [message, self.data_help])))
        lines = {}
        for number, line in number_lines(self.ann_file):
            place = f'{self.ann_file} line {number}'
            # An id is a file name: it must not lead out of the data root.
            if line in ('.', '..') or set(line) & set('/\\\0'):
                raise DatasetError(f'{place}: {line!r} is not an image id')
            if len(line.split()) > 1:
                raise DatasetError(f'{place}: {line!r} is more than an image '
                                   'id; per-class lists are not read')
            if line in lines:
                raise DatasetError(f'{place}: {line!r} is listed already in '
                                   f'line {lines[line]}')
            lines[line] = number
        return lines

    def _listed_files(self, lines: Dict[str, int], folder: str,
                      suffix: str) -> List[ListedFile]:
        return [
            ListedFile(
                osp.join(self.data_prefix[folder], img_id + suffix),
                f'{self.ann_file} line {number}')
            for img_id, number in lines.items()
        ]

    def _add_boxes(self, data_list: List[dict],
                   lines: Dict[str, int]) -> None:
        files = self._listed_files(lines, 'ann_path', '.xml')
        check_exist(files, self.source, 'annotation', self.data_help)
        labels = {
            name: label
            for label, name in enumerate(self._metainfo['classes'])
        }
        labels.update(dict.fromkeys(self.unlisted_classes, UNLISTED_LABEL))
        for data_info, file in zip(data_list, files):
            size = data_info['height'], data_info['width']
            data_info.update(
                split_unlisted(read_instances(file.path, labels, size)))

    def _add_masks(self, data_list: List[dict],
                   lines: Dict[str, int]) -> None:
        files = self._listed_files(lines, 'seg_map_path', '.png')
        sizes = [(info['height'], info['width']) for info in data_list]
        check_masks(files, sizes, self.seg_id_table,
                    self._metainfo['seg_classes'], self.source,
                    self.data_help)
        for data_info, file in zip(data_list, files):
            data_info['seg_map_path'] = file.path
            data_info['seg_fields'] = []
