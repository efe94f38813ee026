# Copyright (c) mmbombo contributors.
import logging
import os.path as osp
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import numpy as np
from mmdet.datasets import CocoDataset, XMLDataset
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.utils import deprecated_api_warning

from mmbombo.datasets.checks.files import (ListedFile, check_data_root,
                                           check_masks, read_image_sizes)
from mmbombo.datasets.checks.image_size_check import (ListedImage,
                                                      describe_doubt,
                                                      find_doubtful,
                                                      keep_outside_boxes,
                                                      listed_size)
from mmbombo.registry import DATASETS
from mmbombo.structures import (BBOX, IGNORE_INDEX, SEM_SEG, annotation_kind,
                                annotation_kinds)
from .boxes import fit_box, likely_cause
from .coco_json import (MAP_RECORD, check_category_names, check_image_folder,
                        check_map_record, read_coco_json)
from .errors import DatasetError, list_problems
from .index_cache import IndexCache
from .seg_ids import build_id_table, build_mmseg_id_table
from .source import SourceMixin
from .source_tree import leaf_datasets
from .unlisted_categories import (CHOICES, IGNORE, add_unlisted_boxes,
                                  count_unlisted)
from .voc_xml import find_unknown_classes


@DATASETS.register_module()
class PartialAnnotationDataset(SourceMixin, BaseDataset):
    """Any data set of MMDetection or MMSegmentation as a source.

    The wrapped set lists the images and annotations; this one keeps those of
    the declared kinds, drops all else (so the boxes, or the polygons, of a
    set that is declared as masks, or as boxes, cannot leak into training),
    and checks the files. A large ``mmdet.CocoDataset``, whose list is one file
    of annotations, is read again only if a file has changed, see
    :mod:`~mmbombo.datasets.index_cache`.

    Args:
        dataset (dict): Config of the wrapped set, with its library's prefix
            and without a pipeline. ``data_prefix=dict(seg=...)`` gives an
            ``mmdet.CocoDataset`` masks too.
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
        drop_bad_boxes (bool): Whether boxes that are inverted, degenerate or
            outside the image are left out instead of refused. Large public
            sets hold a few; if most boxes are outside, they are refused all
            the same. Defaults to False.
        ignore_listed_sizes (bool): Whether boxes are right, as pixels of the
            images as they are, even where the annotation file says another
            width and height than an image has. Without it such an image is
            refused, unless its boxes tell which size is wrong, see
            :mod:`~mmbombo.datasets.checks.image_size_check`. Defaults to
            False.
        unlisted_categories (str): What objects of a COCO file's categories
            that the classes leave out are to masks that are made from boxes:
            'ignore', their boxes are ignored as crowd regions are, or
            'background'. To the detector they are background. Defaults to
            'ignore', which is never wrong: where the masks of other images
            show them as background it costs some of it, but where they show
            them as another class, 'background' would contradict them.
        data_help (str): What to tell a user whose ``data_root`` does not
            exist. Defaults to ''.
        pipeline (Sequence[dict | Callable]): Transforms. Defaults to ().
        test_mode (bool): Whether the set is for evaluation. Defaults to
            False.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        DatasetError: If the wrapped set does not give a declared kind, its
            classes contradict ``metainfo``, boxes seem to be those of images
            of another size, an object of a set in VOC's
            layout (``mmdet.XMLDataset``) has a class that is not among them,
            or a file is missing or unusable; the message names it.
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
                 drop_bad_boxes: bool = False,
                 ignore_listed_sizes: bool = False,
                 unlisted_categories: str = IGNORE,
                 data_help: str = '',
                 pipeline: Sequence[Union[dict, Callable]] = (),
                 test_mode: bool = False,
                 **kwargs) -> None:
        self.declare(annotation_kinds, source
                     or dataset['type'].split('.')[-1])
        self.drop_bad_boxes = drop_bad_boxes
        self.ignore_listed_sizes = ignore_listed_sizes
        if unlisted_categories not in CHOICES:
            raise DatasetError(
                f'source {self.source!r}: unlisted_categories is '
                f'{unlisted_categories!r}, not one of {CHOICES}')
        self.unlisted_categories = unlisted_categories
        self.data_help = data_help
        self._coco: Optional[dict] = None
        self._cache: Optional[IndexCache] = None
        self._index: Optional[dict] = None
        self._notes: List[str] = []
        self.wrapped = self._build_wrapped(dataset, test_mode, data_help,
                                           (metainfo or {}).get('classes'))
        # another reader may look at the listed sizes, see keep_outside_boxes
        self._reads_all = type(self.wrapped) is CocoDataset
        if self._reads_all:
            self._open_coco(
                dict(
                    dataset=dataset,
                    test_mode=test_mode,
                    kinds=self.annotation_kinds,
                    metainfo=metainfo,
                    seg_id_map=seg_id_map,
                    seg_ignore_ids=seg_ignore_ids,
                    drop_bad_boxes=drop_bad_boxes,
                    ignore_listed_sizes=ignore_listed_sizes,
                    unlisted_categories=unlisted_categories))
        elif isinstance(self.wrapped, XMLDataset):
            self._read_xml(self.wrapped)
        elif BBOX in self.annotation_kinds:
            self._require_no_hidden_set()
        if self._index is None:
            self._require_kinds()
        self._keeps_ids = seg_id_map is None
        metainfo = self._merge_metainfo(metainfo or {})
        self._label_map = self._build_label_map(metainfo.get('classes', ()))
        if SEM_SEG in self.annotation_kinds:
            self.seg_id_table = self._build_id_table(
                len(metainfo['seg_classes']), seg_id_map, seg_ignore_ids)
        super().__init__(
            metainfo=metainfo,
            pipeline=self.build_pipeline(pipeline, test_mode),
            test_mode=test_mode,
            **kwargs)

    def _build_wrapped(self, config: dict, test_mode: bool, data_help: str,
                       classes: Optional[Sequence[str]]) -> BaseDataset:
        config = dict(config)
        if config.get('pipeline'):
            raise DatasetError(
                f'source {self.source!r}: `pipeline` belongs to '
                'PartialAnnotationDataset, not to the set that it wraps')
        check_data_root(config.get('data_root'), self.source, data_help)
        ann_file = osp.join(
            config.get('data_root') or '', config.get('ann_file') or '')
        if config.get('ann_file') and not osp.exists(ann_file):
            raise DatasetError(f'source {self.source!r}: ann_file {ann_file} '
                               f'does not exist. {data_help}'.rstrip())
        images = (config.get('data_prefix') or {}).get('img_path')
        folder = osp.join(config.get('data_root') or '', images or '')
        if images and not osp.isdir(folder):  # MMSegmentation lists it
            raise DatasetError(
                f'source {self.source!r}: the folder of images {folder} '
                f"(data_prefix['img_path']) does not exist. {data_help}"
                .rstrip())
        with DATASETS.switch_scope_and_registry(
                config.pop('_scope_', None)) as registry:
            kind_of_set = registry.get(config['type'])
            if kind_of_set is None:
                raise KeyError(
                    f"{config['type']} is not a known data set; write it "
                    "with its library, e.g. 'mmdet.CocoDataset'")
            if issubclass(kind_of_set, BaseDataset):
                config.setdefault('test_mode', test_mode)
                # Serializing an empty list fails before we can explain it.
                config['serialize_data'] = False
                if classes is not None and BBOX in self.annotation_kinds:
                    config['metainfo'] = self._with_classes(
                        config.get('metainfo'), classes)
            if kind_of_set is CocoDataset or issubclass(
                    kind_of_set, XMLDataset):
                config['lazy_init'] = True
            elif issubclass(kind_of_set, CocoDataset):
                # Before MMDetection reads it, which takes what it finds.
                self._coco = read_coco_json(ann_file)
            return registry.build(config)

    def _with_classes(self, metainfo: Optional[dict],
                      classes: Sequence[str]) -> dict:
        """The wrapped set's metainfo, with the classes that are asked for.

        It leaves out, or numbers in its own way, what is none of its own.
        """
        metainfo = dict(metainfo or {})
        own = metainfo.setdefault('classes', tuple(classes))
        if tuple(own) != tuple(classes):
            raise DatasetError(
                f'source {self.source!r}: metainfo gives the classes '
                f'{tuple(classes)}, but the wrapped set is built for '
                f'{tuple(own)}; give them once')
        return metainfo

    def _open_coco(self, recipe: dict) -> None:
        """Get the index from the cache, or let the file be read."""
        wrapped = self.wrapped
        root = wrapped.data_root or osp.dirname(wrapped.ann_file)
        self._cache = IndexCache(root, recipe)
        self._index = self._cache.load()
        self._is_detection_set = True
        self._place = str(wrapped.ann_file)
        if self._index is None:
            self._coco = read_coco_json(wrapped.ann_file)
            wrapped.parse_data_info = keep_outside_boxes(
                wrapped.parse_data_info)
            wrapped.full_init()
            del wrapped.parse_data_info

    def _read_xml(self, wrapped: XMLDataset) -> None:
        """Read the files, each of which is looked at before MMDetection does.

        Its reader skips objects of unknown classes, and then perhaps an image
        that has no others.
        """
        classes = wrapped.metainfo.get('classes') or ()
        problems: List[str] = []
        parse = wrapped.parse_data_info

        def look_and_parse(raw_info: dict) -> dict:
            path = raw_info.get('xml_path')
            if path is not None:
                problems.extend(find_unknown_classes(path, classes))
            data_info = parse(raw_info)
            if path is None:  # WIDERFaceDataset names it only now
                problems.extend(
                    find_unknown_classes(data_info['xml_path'], classes))
            return data_info

        if BBOX in self.annotation_kinds:
            wrapped.parse_data_info = look_and_parse
        wrapped.full_init()
        vars(wrapped).pop('parse_data_info', None)
        if problems:
            raise DatasetError(
                list_problems(
                    f'source {self.source!r} ({wrapped.ann_file}): objects of '
                    'unknown classes', problems) +
                '\n  Correct the names, or add the classes to metainfo: an '
                'object that is left out would be taught as background')

    def _require_no_hidden_set(self) -> None:
        """Refuse wrappers around sets that are checked before they are read.
        """
        for leaf in leaf_datasets(self.wrapped):
            if leaf is not self.wrapped and isinstance(
                    leaf, (CocoDataset, XMLDataset)):
                raise DatasetError(
                    f'source {self.source!r}: {type(self.wrapped).__name__} '
                    f'hides {type(leaf).__name__}, whose boxes and classes '
                    'must be checked. Give `dataset` that set itself: '
                    'PartialAnnotationSampler repeats short sources, and '
                    'ConcatSource joins several sets')

    def _require_kinds(self) -> None:
        """Raise if the wrapped set is empty or lacks a declared kind."""
        self._place = str(
            getattr(self.wrapped, 'ann_file', '')
            or getattr(self.wrapped, 'data_prefix', None)
            or type(self.wrapped).__name__)
        self.require_images(self.wrapped, self._place)
        first = self.wrapped.get_data_info(0)
        self._is_detection_set = 'instances' in first
        missing = [
            kind for kind in self.annotation_kinds
            if first.get(annotation_kind(kind).info_key) is None
        ]
        if missing:
            raise DatasetError(
                f'source {self.source!r}: annotation_kinds declares '
                f'{missing}, but {type(self.wrapped).__name__} '
                f'({self._place}) has no image with that')

    def _merge_metainfo(self, given: dict) -> dict:
        """The given metainfo, completed by the wrapped set's."""
        own = self.wrapped.metainfo
        prefix = '' if self._is_detection_set else 'seg_'
        metainfo = {
            prefix + key: own[key]
            for key in ('classes', 'palette') if own.get(key) is not None
        }
        kinds = [kind for kind in annotation_kinds() if kind.classes_key]
        known = [x for k in kinds for x in (k.classes_key, k.palette_key)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise DatasetError(f'source {self.source!r}: metainfo has unknown '
                               f'key(s) {unknown}; known are {known}')
        self._check_numbers(metainfo.get('seg_classes', ()),
                            given.get('seg_classes', ()))
        metainfo.update(given)
        for kind in kinds:
            key = kind.classes_key
            if kind.name in self.annotation_kinds and not metainfo.get(key):
                raise DatasetError(
                    f'source {self.source!r}: give metainfo[{key!r}], which '
                    f'{type(self.wrapped).__name__} does not know')
            if key in metainfo:
                metainfo[key] = tuple(metainfo[key])
        metainfo['ignore_index'] = IGNORE_INDEX
        return metainfo

    def _check_numbers(self, own: Sequence[str],
                       given: Sequence[str]) -> None:
        """Refuse segmentation classes in another order than the maps'."""
        own, given = list(own), list(given)
        for name in own if self._keeps_ids else ():
            if name in given and given.index(name) != own.index(name):
                raise DatasetError(
                    f'source {self.source!r}: {name!r} is id '
                    f'{given.index(name)} in metainfo[\'seg_classes\'], but '
                    f'{own.index(name)} in {type(self.wrapped).__name__}; '
                    'translate the ids with `seg_id_map`, or give the classes '
                    'to the wrapped set')

    def _build_label_map(self, classes: Sequence[str]) -> Dict[int, int]:
        """Label of the wrapped set to label, by the name of the class.

        MMDetection's COCO reader counts labels in the order of the JSON file
        and skips classes that the file does not have, whatever the order of
        ``classes``.
        """
        labels = {label: label for label in range(len(classes))}
        if (BBOX not in self.annotation_kinds or self._coco is None):
            return labels
        check_category_names(
            self._coco, self.wrapped.ann_file, classes,
            "Give the names of the file's categories in metainfo['classes']")
        categories = {
            category['id']: category['name']
            for category in self._coco['categories']
        }
        names = [categories[i] for i in self.wrapped.cat_ids]
        return {
            label: classes.index(name)
            for label, name in enumerate(names) if name in classes
        }

    def _build_id_table(self, num_classes: int,
                        id_map: Optional[Dict[int, int]],
                        ignore_ids: Sequence[int]) -> np.ndarray:
        # An index is of MMDetection's reader, which translates no ids.
        own = {} if self._index else self.wrapped.get_data_info(0)
        reduce_zero = bool(own.get('reduce_zero_label'))
        label_map = own.get('label_map')
        if not reduce_zero and label_map is None:
            own_ignored = getattr(self.wrapped, 'ignore_index', IGNORE_INDEX)
            return build_id_table(num_classes, id_map,
                                  (*ignore_ids, own_ignored))
        if id_map is not None or ignore_ids:
            raise DatasetError(
                f'source {self.source!r}: seg_id_map and seg_ignore_ids do '
                'not combine with the wrapped set\'s reduce_zero_label or '
                'label_map (classes that differ from its METAINFO); use one '
                'or the other')
        return build_mmseg_id_table(
            num_classes, reduce_zero, label_map,
            getattr(self.wrapped, 'ignore_index', IGNORE_INDEX))

    def load_data_list(self) -> List[dict]:
        """Keep what the kinds name of the wrapped set's annotations."""
        index, self._index = self._index, None
        if index is None:
            index = dict(data_list=self._read(), notes=self._notes)
            if self._cache is not None:
                self._cache.store(index, self._files(index['data_list']))
        for note in index['notes']:
            print_log(note, logger='current', level=logging.WARNING)
        return index['data_list']

    def _files(self, data_list: List[dict]) -> List[str]:
        """All files that the data list of a COCO set was read from."""
        files = [self._place, *(info['img_path'] for info in data_list)]
        if SEM_SEG in self.annotation_kinds:
            files += [info['seg_map_path'] for info in data_list]
            files.append(osp.join(self._mask_folder(files[-1]), MAP_RECORD))
        return files

    def _read(self) -> List[dict]:
        """Open and check all files."""
        content, self._coco = self._coco, None
        if content is not None:
            check_image_folder(content, self._place,
                               self.wrapped.data_prefix.get('img', ''))
        infos = [
            self.wrapped.get_data_info(index)
            for index in range(len(self.wrapped))
        ]
        images = [ListedFile(info['img_path'], self._place) for info in infos]
        sizes = read_image_sizes(images, self.source, self.data_help)
        data_list = [
            self._keep(info, size) for info, size in zip(infos, sizes)
        ]
        if BBOX in self.annotation_kinds:
            self._check_listed_sizes(infos, sizes)
            if content is not None:
                self._check_coco(content, data_list)
            self._add_boxes(data_list, infos, judged=content is not None)
        if SEM_SEG in self.annotation_kinds:
            self._add_masks(data_list, infos, sizes)
        elif content is not None and self._ignores_unlisted():
            add_unlisted_boxes(data_list, [info['img_id'] for info in infos],
                               content, set(self.wrapped.cat_ids))
        return data_list

    def _keep(self, info: Dict[str, Any], size: Sequence[int]) -> dict:
        """What an image has beside boxes and a mask."""
        height, width = size
        # boxes and masks are looked at first, see :meth:`_read`
        others = [
            annotation_kind(kind).info_key for kind in self.annotation_kinds
            if kind not in (BBOX, SEM_SEG)
        ]
        # A path is unique over sources; a given id is what metrics that read
        # the annotation file themselves look up.
        return dict(
            {key: info[key] for key in others},
            img_id=info.get('img_id', info['img_path']),
            img_path=info['img_path'],
            height=height,
            width=width)

    def _check_listed_sizes(self, infos: List[dict],
                            sizes: Sequence[Sequence[int]]) -> None:
        """Stop where boxes seem to be those of an image of another size."""
        if self.ignore_listed_sizes:
            return
        images = [
            ListedImage(info['img_path'],
                        (info.get('height'), info.get('width')), tuple(size),
                        [x['bbox'] for x in info['instances']])
            for info, size in zip(infos, sizes)
        ]
        headline = (f'source {self.source!r}: images of another size than '
                    f'{self._place} says')
        doubtful = find_doubtful(images)
        if doubtful:
            raise DatasetError(
                list_problems(headline, [str(image) for image in doubtful]) +
                f'\n  {describe_doubt(doubtful)}')
        others = [str(x) for x in images if x.differs and x.boxes]
        if others:
            self._notes.append(
                list_problems(headline, others) + '\n  The boxes fit the '
                'images as they are, and are taken as pixels of these')

    def _add_boxes(self, data_list: List[dict], infos: List[dict],
                   judged: bool) -> None:
        """Boxes in their images; of others is said what has not been."""
        problems = []
        for data_info, info in zip(data_list, infos):
            data_info['instances'] = []
            for instance in info['instances']:
                box, complaint = fit_box(instance['bbox'], data_info['width'],
                                         data_info['height'])
                if complaint:
                    problems.append(f'{info["img_path"]}: box '
                                    f'{list(instance["bbox"])} {complaint}')
                    continue
                data_info['instances'].append(
                    dict(
                        bbox=box,
                        bbox_label=self._label_map[instance['bbox_label']],
                        ignore_flag=instance['ignore_flag']))
        if not judged:
            self._report_boxes(problems)

    def _add_masks(self, data_list: List[dict], infos: List[dict],
                   sizes: Sequence) -> None:
        masks = [
            ListedFile(info['seg_map_path'], self._place) for info in infos
        ]
        folder = self._mask_folder(masks[0].path)
        if not osp.isdir(folder):
            raise DatasetError(
                f'source {self.source!r}: the folder of masks {folder} does '
                f'not exist. {self.data_help}'.rstrip())
        if self._keeps_ids:
            check_map_record(folder, self._metainfo['seg_classes'])
        check_masks(masks, sizes, self.seg_id_table,
                    self._metainfo['seg_classes'], self.source,
                    self.data_help)
        for data_info, mask in zip(data_list, masks):
            data_info['seg_map_path'] = mask.path
            data_info['seg_fields'] = []

    def _mask_folder(self, mask: str) -> str:
        """Folder of a COCO set's masks, which may lie in folders of it."""
        prefix = getattr(self.wrapped, 'data_prefix', None) or {}
        return (prefix.get('seg') or osp.dirname(mask)).rstrip('/')

    def _check_coco(self, content: Dict[str, Any],
                    data_list: List[dict]) -> None:
        """Look at the boxes, those that MMDetection drops too.

        Its COCO reader leaves out boxes without area, or thinner than a
        pixel, which would turn an object into background, and a crowd to
        ignore into a negative. Categories that are no class are not judged.
        """
        self._note_unlisted(content)
        images = {image['id']: image for image in content['images']}
        true_sizes = {
            info['img_id']: (info['width'], info['height'])
            for info in data_list
        }
        asked = set(self.wrapped.cat_ids)
        problems, boxes, sizes = [], [], []
        for annotation in content['annotations']:
            # What is no class of ours neither teaches nor is ignored.
            if annotation['category_id'] not in asked:
                continue
            x, y, width, height = annotation['bbox']
            image = images[annotation['image_id']]
            # the wrapped set may have left the whole image out
            size = true_sizes.get(image['id'], listed_size(image))
            boxes.append(annotation['bbox'])
            sizes.append(size)
            _, complaint = fit_box((x, y, x + width, y + height), *size)
            complaint = complaint or _dropped_by_mmdet(
                annotation, None if self._reads_all else image)
            if complaint:
                problems.append(
                    f'annotation {annotation["id"]} of '
                    f'{image.get("file_name", image["id"])}: '
                    f'box [x {x:g}, y {y:g}, w {width:g}, h {height:g}] '
                    f'{complaint}')
        if problems:
            self._report_boxes(problems, likely_cause(boxes, sizes))

    def _note_unlisted(self, content: Dict[str, Any]) -> None:
        """Say which objects are none to the network."""
        counts = count_unlisted(content, set(self.wrapped.cat_ids))
        if not counts:
            return
        to_masks = (
            'Box-for-Mask ignores their pixels' if self._ignores_unlisted()
            else 'Outside other boxes they are so to Box-for-Mask too, '
            'whatever class their pixels have in masks')
        self._notes.append(
            f'source {self.source!r}: {sum(counts.values())} boxes of '
            f'{self._place} are of categories that `classes` leaves out: '
            f'{counts}. To the detector they are background. {to_masks} '
            f'(unlisted_categories={self.unlisted_categories!r})')

    def _ignores_unlisted(self) -> bool:
        return (BBOX in self.annotation_kinds
                and self.unlisted_categories == IGNORE)

    def _report_boxes(self, problems: List[str],
                      cause: Optional[str] = None) -> None:
        if not problems:
            return
        message = list_problems(
            f'source {self.source!r} ({self._place}): unusable box(es)',
            problems)
        if cause:
            raise DatasetError(f'source {self.source!r}: {cause}\n{message}')
        if not self.drop_bad_boxes:
            raise DatasetError(
                f'{message}\n  Correct them, or leave them out with '
                '`drop_bad_boxes=True`')
        self._notes.append(f'{message}\n  left out')


def _dropped_by_mmdet(annotation: Dict[str, Any],
                      image: Optional[Dict[str, Any]]) -> Optional[str]:
    """Why MMDetection's COCO reader leaves out a box that is inside its
    image, or None. It looks at the listed size of ``image``, if given."""
    if annotation.get('ignore', False):
        return "is marked 'ignore'; a region to ignore is marked 'iscrowd'"
    if min(annotation['bbox'][2:]) < 1:
        return 'is thinner than a pixel'
    if annotation['area'] <= 0:
        return f"has 'area' {annotation['area']:g}"
    x, y = annotation['bbox'][:2]
    if image and (x >= image['width'] or y >= image['height']):
        return (f"is outside of {image['width']}x{image['height']}, which the "
                'file says, though not outside of the image')
    return None
