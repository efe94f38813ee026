# Copyright (c) mmbombo contributors.
import logging
import os.path as osp
from typing import Any, Dict, List, Optional, Sequence

from mmdet.datasets import CocoDataset
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.utils import deprecated_api_warning

from mmbombo.registry import DATASETS
from mmbombo.structures import (BBOX, IGNORE_INDEX, IMAGE_LABEL, SALIENCY,
                                SEM_SEG, annotation_kind, annotation_kinds)
from mmbombo.structures.image_labels import image_labels
from .checks.image_size_check import is_known
from .coco_json import check_map_record
from .errors import DatasetError
from .seg_ids import build_wrapped_id_table, check_colors
from .source import SourceMixin
from .unlisted_categories import CHOICES, IGNORE, UNLISTED_KEY
from .wrapped_set import build_wrapped

#: What is kept of an object.
INSTANCE_KEYS = ('bbox', 'bbox_label', 'ignore_flag', 'complaint')


@DATASETS.register_module()
class PartialAnnotationDataset(SourceMixin, BaseDataset):
    """Any data set of MMDetection or MMSegmentation as a source.

    The wrapped set lists the images and annotations; this one keeps those of
    the declared kinds and drops all else, so that the boxes, or the polygons,
    of a set that is declared as masks, or as boxes, cannot leak into training.

    Args:
        dataset (dict): Config of the wrapped set, with its library's prefix
            and without a pipeline. ``data_prefix=dict(seg=...)`` gives an
            ``mmdet.CocoDataset`` masks too, ``dict(saliency_path=...)`` any
            set saliency maps.
        annotation_kinds (Sequence[str]): What the images are annotated with,
            such as ``('bbox', 'sem_seg')``; may be empty.
        source (str, optional): Name of the source. Defaults to the type of
            the wrapped set.
        metainfo (dict, optional): ``classes``, ``palette``, ``seg_classes``,
            ``seg_palette``, where the wrapped set's own, which counts for
            its own task, do not do. With boxes, the wrapped set is built for
            these ``classes``.
        seg_id_map (dict[int, int], optional): Id in the mask files to
            segmentation id. Defaults to None: what the wrapped set does, or
            ids are kept.
        seg_ignore_ids (Sequence[int]): Ids in the mask files to ignore,
            besides 255; only with ``seg_id_map``, or where the wrapped set
            translates nothing. Defaults to ().
        seg_colors (Sequence[tuple[int, int, int]], optional): Color (r, g, b)
            of each id, in order, of mask files that show colors; further
            ones than classes for what `seg_ignore_ids` names. Defaults to
            None, pixels are ids.
        drop_bad_boxes (bool): Whether boxes that are inverted, degenerate or
            outside the image are left out instead of refused when the sample
            is loaded. Large public sets hold a few. Defaults to False.
        ignore_listed_sizes (bool): Whether boxes are right, as pixels of the
            images as they are, even where the annotation says another width
            and height than an image has. Without it such an image is refused
            when it is loaded, unless its boxes tell which size is wrong, see
            :mod:`~mmbombo.datasets.checks.image_size_check`. Defaults to
            False.
        unlisted_categories (str): What objects of a COCO file's categories
            that the classes leave out are to masks that are made from boxes:
            'ignore', their boxes are ignored as crowd regions are, or
            'background'. To the detector they are background. Defaults to
            'ignore', which is never wrong: where the masks of other images
            show them as background it costs some of it, but where they show
            them as another class, 'background' would contradict them.
        incomplete_classes (Sequence[str]): Classes of which not every object
            has a box, such as those whose small objects were left out by
            rule. Masks and tags that are made from boxes then do not conclude
            that there is none outside of them. Defaults to ().
        data_help (str): What to tell a user whose ``data_root``, annotation
            file or first files do not exist. Defaults to ''.
        test_mode (bool): Whether the set is for evaluation. Defaults to
            False.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        DatasetError: If the wrapped set does not give a declared kind, its
            classes contradict ``metainfo``, an object of a set in VOC's
            layout (``mmdet.XMLDataset``) has a class that is not among them,
            or the first sample cannot be loaded; the message names the file.
    """

    @deprecated_api_warning(
        dict(left_out='unlisted_categories'), 'PartialAnnotationDataset')
    def __init__(self,
                 dataset: dict,
                 annotation_kinds: Sequence[str],
                 source: Optional[str] = None,
                 metainfo: Optional[dict] = None,
                 seg_id_map: Optional[Dict[int, int]] = None,
                 seg_ignore_ids: Sequence[int] = (),
                 seg_colors: Optional[Sequence[Sequence[int]]] = None,
                 drop_bad_boxes: bool = False,
                 ignore_listed_sizes: bool = False,
                 unlisted_categories: str = IGNORE,
                 incomplete_classes: Sequence[str] = (),
                 data_help: str = '',
                 test_mode: bool = False,
                 **kwargs) -> None:
        self.declare(annotation_kinds, source
                     or dataset['type'].split('.')[-1], data_help,
                     incomplete_classes)
        self.seg_colors = seg_colors and check_colors(seg_colors)
        self.drop_bad_boxes = drop_bad_boxes
        self.ignore_listed_sizes = ignore_listed_sizes
        if unlisted_categories not in CHOICES:
            raise self._error(f'unlisted_categories is {unlisted_categories!r}'
                              f', not one of {CHOICES}')
        self.unlisted_categories = unlisted_categories
        # MMDetection's inferencer asks a lazy data set for its colors, and
        # has no data
        self._unread = (dataset, metainfo
                        or {}, seg_id_map, seg_ignore_ids, test_mode)
        super().__init__(
            metainfo=metainfo if kwargs.get('lazy_init') else self._read(),
            test_mode=test_mode,
            **kwargs)

    def full_init(self) -> None:
        """Read the wrapped set, if that was put off, and load an image."""
        if not hasattr(self, 'wrapped'):
            self._metainfo = self._load_metainfo(self._read())
        super().full_init()

    def _read(self) -> dict:
        """Build the wrapped set and list its images; the metainfo."""
        dataset, metainfo, seg_id_map, seg_ignore_ids, test_mode = self._unread
        self._require_places(dataset)
        # tags are the classes of the objects
        has_tags = IMAGE_LABEL in self.annotation_kinds
        classes = metainfo.get('classes') or (metainfo.get('cls_classes')
                                              if has_tags else None)
        try:
            self.wrapped = build_wrapped(
                dataset, has_tags or BBOX in self.annotation_kinds, classes,
                test_mode)
        except DatasetError as error:
            raise self._error(str(error)) from error
        if isinstance(self.wrapped, CocoDataset):
            self.coco_files = (self.wrapped.ann_file, )
        self._infos = self._list_images()
        keeps_ids = seg_id_map is None
        metainfo = self._merge_metainfo(metainfo, keeps_ids)
        if SEM_SEG in self.annotation_kinds:
            if keeps_ids:
                self._check_map_record(metainfo['seg_classes'])
            self.seg_id_table = build_wrapped_id_table(
                self._infos[0],
                getattr(self.wrapped, 'ignore_index', IGNORE_INDEX),
                len(metainfo['seg_classes']), seg_id_map, seg_ignore_ids)
        return metainfo

    def _error(self, message: str) -> DatasetError:
        return DatasetError(f'source {self.source!r}: {message}')

    def _require_places(self, config: dict) -> None:
        """Look for root, annotation file and the folder that mmseg lists."""
        root = config.get('data_root') or ''
        images = (config.get('data_prefix') or {}).get('img_path')
        self.require_place(root, 'data_root')
        for key, path in (('ann_file', config.get('ann_file')),
                          ("data_prefix['img_path']", images)):
            self.require_place(path and osp.join(root, path), key)

    def _list_images(self) -> List[dict]:
        """What the wrapped set knows of each image."""
        wrapped = self.wrapped
        self.place = str(
            getattr(wrapped, 'ann_file', '')
            or getattr(wrapped, 'data_prefix', None) or type(wrapped).__name__)
        if isinstance(wrapped, BaseDataset):
            wrapped.full_init()
            infos, wrapped.data_list = wrapped.data_list, []
        else:
            infos = [wrapped.get_data_info(i) for i in range(len(wrapped))]
        self.require_images(infos, self.place)
        self.add_maps(SALIENCY, infos,
                      getattr(wrapped, 'data_prefix', None) or {})
        missing = [
            kind for kind in self.annotation_kinds
            if infos[0].get(annotation_kind(kind).info_key) is None
            and not (kind == IMAGE_LABEL and 'instances' in infos[0])
        ]
        if missing:
            raise self._error(f'annotation_kinds declares {missing}, but '
                              f'{type(wrapped).__name__} ({self.place}) has no'
                              ' image with that')
        return infos

    def _check_map_record(self, seg_classes: Sequence[str]) -> None:
        prefix = getattr(self.wrapped, 'data_prefix', None) or {}
        first = self._infos[0]['seg_map_path']
        check_map_record(prefix.get('seg') or osp.dirname(first), seg_classes)

    def _merge_metainfo(self, given: dict, keeps_ids: bool) -> dict:
        """The given metainfo, completed by the wrapped set's."""
        own = self.wrapped.metainfo
        prefix = '' if 'instances' in self._infos[0] else 'seg_'
        metainfo = {
            prefix + key: own[key]
            for key in ('classes', 'palette') if own.get(key) is not None
        }
        kinds = [kind for kind in annotation_kinds() if kind.classes_key]
        known = [x for k in kinds for x in (k.classes_key, k.palette_key)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise self._error(f'metainfo has unknown key(s) {unknown}; known '
                              f'are {known}')
        if keeps_ids:
            self._require_same_ids(
                metainfo.get('seg_classes', ()), given.get('seg_classes', ()))
        metainfo.update(given)
        if IMAGE_LABEL in self.annotation_kinds and 'classes' in metainfo:
            metainfo.setdefault('cls_classes', metainfo['classes'])
        for kind in kinds:
            key = kind.classes_key
            if kind.name in self.annotation_kinds and not metainfo.get(key):
                raise self._error(f'give metainfo[{key!r}], which '
                                  f'{type(self.wrapped).__name__} does not '
                                  'know')
            if key in metainfo:
                metainfo[key] = tuple(metainfo[key])
        metainfo['ignore_index'] = IGNORE_INDEX
        return metainfo

    def _require_same_ids(self, own: Sequence[str],
                          given: Sequence[str]) -> None:
        """Refuse segmentation classes in another order than the maps'."""
        own, given = list(own), list(given)
        for name in own:
            if name in given and given.index(name) != own.index(name):
                raise self._error(
                    f'{name!r} is id {given.index(name)} in '
                    f"metainfo['seg_classes'], but {own.index(name)} in "
                    f'{type(self.wrapped).__name__}; translate the ids with '
                    '`seg_id_map`, or give the classes to the wrapped set')

    def load_data_list(self) -> List[dict]:
        """Keep what the kinds name of the wrapped set's annotations."""
        unlisted = getattr(self.wrapped, 'unlisted', None)
        choice = self.unlisted_categories
        if unlisted:
            print_log(
                f'source {self.source!r}: {sum(unlisted.values())} boxes of '
                f'{self.place} are of categories that `classes` leaves out: '
                f'{dict(unlisted)}. To the detector they are background, to '
                f'Box-for-Mask unlisted_categories={choice!r}',
                logger='current',
                level=logging.WARNING)
        infos, self._infos = self._infos, []
        if IMAGE_LABEL in self.annotation_kinds:
            self._add_tags(infos)
        return [self._keep(info) for info in infos]

    def _add_tags(self, infos: Sequence[dict]) -> None:
        """Classes of which there are objects; those of crowd regions alone
        are unknown."""
        names = self._metainfo['cls_classes']
        own = self.wrapped.metainfo['classes']
        unread = [name for name in names if name not in own]
        if unread and 'instances' in infos[0]:
            raise self._error(
                f"metainfo['cls_classes'] names {unread}, which are not among "
                f'the classes that {type(self.wrapped).__name__} reads: '
                f"{tuple(own)}. Correct them, or add them to metainfo's "
                "'classes'")
        for info in infos if 'instances' in infos[0] else ():
            found: Dict[bool, set] = {False: set(), True: set()}
            for instance in info['instances']:
                name = own[instance['bbox_label']]
                if name in names:
                    found[bool(instance['ignore_flag'])].add(names.index(name))
            info['image_labels'] = image_labels(
                len(names), found[False], found[True])

    def _keep(self, info: Dict[str, Any]) -> dict:
        """What the kinds name of an image."""
        # A path is unique over sources; a given id is what metrics that read
        # the annotation file themselves look up.
        kept = dict(
            img_id=info.get('img_id', info['img_path']),
            img_path=info['img_path'])
        if not self.ignore_listed_sizes:
            kept.update({
                key: info[key]
                for key in ('height', 'width') if is_known(info.get(key))
            })
        for kind in self.annotation_kinds:
            key = annotation_kind(kind).info_key
            kept[key] = info[key]
        if BBOX in self.annotation_kinds:
            # without polygons, from which a mask could be made
            kept['instances'] = [{
                key: instance[key]
                for key in INSTANCE_KEYS if key in instance
            } for instance in info['instances']]
            if self.drop_bad_boxes:
                kept['drop_bad_boxes'] = True
            if 'xml_path' in info:
                kept['xml_path'] = info['xml_path']
        if SEM_SEG in self.annotation_kinds:
            kept['seg_fields'] = []
        elif UNLISTED_KEY in info and self.unlisted_categories == IGNORE:
            kept[UNLISTED_KEY] = info[UNLISTED_KEY]
        return kept
