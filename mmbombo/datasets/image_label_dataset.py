# Copyright (c) mmbombo contributors.
import csv
import os.path as osp
from typing import Any, Dict, List, Optional, Sequence

from mmengine.dataset import BaseDataset
from mmengine.fileio import list_dir_or_file

from mmbombo.registry import DATASETS
from mmbombo.structures import IMAGE_LABEL, SALIENCY, SEM_SEG
from mmbombo.structures.image_labels import image_labels
from .errors import DatasetError, reading
from .seg_ids import build_id_table
from .source import SourceMixin

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff',
                  '.webp')


@DATASETS.register_module()
class ImageLabelDataset(SourceMixin, BaseDataset):
    """Images with tags, from a CSV file or one folder per class.

    A line of the CSV file is ``file,label;label``: the file below
    ``data_prefix['img_path']`` and the classes that it shows; a line without
    a class says that it shows none. A first line ``file,...`` is a header.
    Without ``ann_file``, each folder in ``data_prefix['img_path']`` is a
    class, and holds the images that show it and no other class.

    (Tags of VOC's XML files and COCO's JSON files are read by
    :class:`PartialVOCDataset` and :class:`PartialAnnotationDataset`.)

    Args:
        data_prefix (dict): ``img_path``, the folder of the images, and of
            what else they have ``seg_map_path`` and ``saliency_path``.
        ann_file (str): The CSV file. Defaults to '', folders are classes.
        metainfo (dict, optional): ``cls_classes``, and ``seg_classes`` of
            masks. Defaults to None: the names of the folders, sorted.
        annotation_kinds (Sequence[str]): ``('image_label', )``, the default,
            and any of 'sem_seg' and 'saliency'.
        source (str, optional): Name of the source. Defaults to the name of
            the file or the folder.
        data_root (str): Folder of the data set. Defaults to ''.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        DatasetError: If the file or a folder is missing, or a class unknown;
            the message names file and line.
    """

    def __init__(self,
                 data_prefix: dict,
                 ann_file: str = '',
                 metainfo: Optional[dict] = None,
                 annotation_kinds: Sequence[str] = (IMAGE_LABEL, ),
                 source: Optional[str] = None,
                 data_root: str = '',
                 **kwargs) -> None:
        folder = osp.join(data_root, data_prefix.get('img_path', ''))
        name = osp.basename(osp.normpath(ann_file or folder))
        self.declare(annotation_kinds, source or osp.splitext(name)[0])
        if {*self.annotation_kinds} - {SALIENCY, SEM_SEG} != {IMAGE_LABEL}:
            raise DatasetError(f'source {self.source!r}: ImageLabelDataset '
                               f'has {IMAGE_LABEL!r}, and {SEM_SEG!r} or '
                               f'{SALIENCY!r} if asked to, not '
                               f'{self.annotation_kinds}')
        self.require_place(folder, "data_prefix['img_path']")
        metainfo = dict(metainfo or {})
        if not ann_file:
            found = tuple(sorted(list_dir_or_file(folder, list_file=False)))
            metainfo.setdefault('cls_classes', found)
        has_masks = SEM_SEG in self.annotation_kinds
        for key in ['cls_classes', 'seg_classes'][:1 + has_masks]:
            if not metainfo.get(key):
                raise DatasetError(f'source {self.source!r}: give the classes,'
                                   f' metainfo=dict({key}=(...))')
            metainfo[key] = tuple(metainfo[key])
        if has_masks:
            self.seg_id_table = build_id_table(len(metainfo['seg_classes']))
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix=data_prefix,
            **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the list of images and their labels."""
        data_list = self._read_csv() if self.ann_file else self._read_folders()
        self.place = self.ann_file or self.data_prefix['img_path']
        self.require_images(data_list, self.place)
        for kind in (SEM_SEG, SALIENCY):
            self.add_maps(kind, data_list, self.data_prefix)
        return data_list

    def _read_csv(self) -> List[dict]:
        self.require_place(self.ann_file, 'ann_file')
        with reading(self.ann_file, 'a CSV file'), \
                open(self.ann_file, newline='', encoding='utf-8-sig') as file:
            rows = [(number, row)
                    for number, row in enumerate(csv.reader(file), start=1)
                    if row]
        if rows and rows[0][1][0] == 'file':
            del rows[0]
        lines: Dict[str, int] = {}
        for number, row in rows:
            first = lines.setdefault(row[0].strip(), number)
            if first != number:
                raise DatasetError(
                    f'{self.ann_file} line {number}: {row[0]} has a line '
                    f'already, {first}; join its labels there: '
                    'file,label;label')
        return [self._info(number, row) for number, row in rows]

    def _info(self, number: int, row: Sequence[str]) -> dict:
        """What a line says of an image."""
        names = [x.strip() for x in ';'.join(row[1:]).split(';') if x.strip()]
        unknown = [x for x in names if x not in self._metainfo['cls_classes']]
        if unknown or len(row) != 2:
            raise DatasetError(f'{self.ann_file} line {number}: ' + (
                f'unknown class(es) {unknown}; correct them, or add them to '
                "metainfo['cls_classes']" if unknown else
                f'{len(row)} columns, where file,label;label are due'))
        return self._image(row[0].strip(), names)

    def _read_folders(self) -> List[dict]:
        folder = self.data_prefix['img_path']
        data_list = []
        for name in self._metainfo['cls_classes']:
            if not osp.isdir(osp.join(folder, name)):
                raise DatasetError(
                    f'source {self.source!r}: there is no folder '
                    f'{osp.join(folder, name)} for the class {name!r}')
            files = list_dir_or_file(
                osp.join(folder, name), list_dir=False, recursive=True)
            data_list += [
                self._image(osp.join(name, file), [name])
                for file in sorted(files)
                if file.lower().endswith(IMAGE_SUFFIXES)
            ]
        return data_list

    def _image(self, file: str, names: Sequence[str]) -> dict:
        classes = self._metainfo['cls_classes']
        path = osp.join(self.data_prefix['img_path'], file)
        return dict(
            img_id=file,
            img_path=path,
            present=[classes.index(name) for name in names])

    def get_data_info(self, idx: int) -> Dict[str, Any]:
        """Annotation of one image."""
        info = super().get_data_info(idx)
        # a label per class of each image of ImageNet would take gigabytes
        info['image_labels'] = image_labels(
            len(self._metainfo['cls_classes']), info.pop('present'))
        return info
