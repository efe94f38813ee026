# Copyright (c) mmbombo contributors.
import os.path as osp
from typing import Dict, List, Optional, Sequence, Tuple

from mmengine.dataset import BaseDataset
from mmengine.utils import deprecated_api_warning

from mmbombo.registry import DATASETS
from mmbombo.structures import (BBOX, IMAGE_LABEL, SALIENCY, SEM_SEG,
                                UNLISTED_LABEL)
from .errors import DatasetError, list_problems
from .id_list import read_ids
from .seg_ids import build_id_table
from .source import SourceMixin
from .unlisted_categories import split_unlisted
from .voc_metainfo import VOC_CLASSES, complete_metainfo
from .voc_xml import read_annotation, read_image_labels


@DATASETS.register_module()
class PartialVOCDataset(SourceMixin, BaseDataset):
    """A data set in Pascal VOC's layout, read as far as its kinds say.

    With the kind ``bbox`` the XML files are read, with ``image_label`` of them
    the names of the classes, with ``sem_seg`` the masks, with none only the
    images. A file of another kind is never opened.

    Boxes are [xmin - 1, ymin - 1, xmax, ymax] of the XML file: pixels that
    are counted from 1, both ends included, become continuous coordinates.

    Args:
        ann_file (str): List of image ids, one per line, e.g.
            ``'ImageSets/Main/train.txt'``.
        data_root (str): Folder of the data set.
        annotation_kinds (Sequence[str]): What the images are annotated with:
            any of ``'bbox'``, ``'sem_seg'``, ``'image_label'`` and
            ``'saliency'``, or none.
        source (str, optional): Name of the source. Defaults to the name of
            the list.
        metainfo (dict, optional): ``classes``, ``seg_classes`` and palettes;
            see :func:`~mmbombo.datasets.voc_metainfo.complete_metainfo`.
        data_prefix (dict, optional): Subfolders ``img_path``, ``ann_path``
            and ``seg_map_path``, which default to VOC's, and
            ``saliency_path``.
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
        incomplete_classes (Sequence[str]): Classes of which not every object
            has a box, such as those whose small objects were left out by
            rule. Masks and tags that are made from boxes then do not conclude
            that there is none outside of them. Defaults to ().
        ignore_listed_sizes (bool): Whether boxes are right even where
            ``<size>`` is not that of the image, see
            :class:`PartialAnnotationDataset`. Defaults to False.
        data_help (str): How to get the data, for a user whose ``data_root``,
            list or first files do not exist. Defaults to ''.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        DatasetError: If the list or an XML file is missing or wrong, or the
            first sample cannot be loaded; the message names the file.
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
                 incomplete_classes: Sequence[str] = (),
                 ignore_listed_sizes: bool = False,
                 data_help: str = '',
                 **kwargs) -> None:
        self.declare(annotation_kinds, source
                     or osp.splitext(osp.basename(ann_file))[0], data_help,
                     incomplete_classes)
        if IMAGE_LABEL in self.annotation_kinds:
            metainfo = self._with_tags(metainfo or {})
        metainfo = complete_metainfo(metainfo)
        self.img_suffix = img_suffix
        self.ignore_listed_sizes = ignore_listed_sizes
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
            **kwargs)

    def _with_tags(self, metainfo: dict) -> dict:
        """Of classes of boxes and of tags, either stands for the other."""
        classes = metainfo.get('classes') or metainfo.get(
            'cls_classes') or VOC_CLASSES
        tags = metainfo.get('cls_classes') or classes
        unread = [name for name in tags if name not in classes]
        if unread:
            raise DatasetError(
                f"source {self.source!r}: metainfo['cls_classes'] names "
                f"{unread}, which metainfo['classes'] does not: {classes}")
        return dict(metainfo, classes=classes, cls_classes=tuple(tags))

    def _check_unlisted(self, names: Sequence[str],
                        classes: Sequence[str]) -> Tuple[str, ...]:
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
        """Read the list of images and the boxes that it may read."""
        self.place = self.ann_file
        self.require_place(self.data_root, 'data_root')
        self.require_place(self.ann_file, 'ann_file')
        lines = read_ids(self.ann_file)
        self.require_images(lines, self.ann_file)
        labels = self._labels('classes'), self._labels('cls_classes')
        data_list, problems = [], []
        for img_id, line in lines.items():
            try:
                data_list.append(self._read(img_id, *labels))
            except DatasetError as error:
                problems.append(f'{error} ({self.ann_file} line {line})')
        if problems:
            message = list_problems(
                f'source {self.source!r}: unusable annotation(s)', problems)
            raise DatasetError(f'{message}\n  {self.data_help}'.rstrip())
        self.add_maps(SALIENCY, data_list, self.data_prefix)
        return data_list

    def _labels(self, classes_key: str) -> Dict[str, int]:
        """Name of each class, and of what is none, to its label."""
        others = (*self.unlisted_classes, *self._metainfo['classes'])
        labels = dict.fromkeys(others, UNLISTED_LABEL)
        classes = self._metainfo.get(classes_key, ())
        labels.update((name, label) for label, name in enumerate(classes))
        return labels

    def _read(self, img_id: str, det_labels: Dict[str, int],
              cls_labels: Dict[str, int]) -> dict:
        """What is known of an image, which itself is not opened."""

        def path(folder: str, suffix: str) -> str:
            return osp.join(self.data_prefix[folder], img_id + suffix)

        info = dict(img_id=img_id, img_path=path('img_path', self.img_suffix))
        if BBOX in self.annotation_kinds:
            info['xml_path'] = path('ann_path', '.xml')
            info.update(read_annotation(info['xml_path'], det_labels))
            info.update(split_unlisted(info['instances']))
            if self.ignore_listed_sizes:
                del info['height'], info['width']
        if IMAGE_LABEL in self.annotation_kinds:
            info['image_labels'] = read_image_labels(
                path('ann_path', '.xml'), cls_labels,
                len(self._metainfo['cls_classes']))
        if SEM_SEG in self.annotation_kinds:
            info['seg_map_path'] = path('seg_map_path', '.png')
            info['seg_fields'] = []
        return info
