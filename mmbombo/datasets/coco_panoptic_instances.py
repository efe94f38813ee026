# Copyright (c) mmbombo contributors.
import os.path as osp
from typing import List, Sequence

from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmdet.datasets.api_wrappers import COCO, COCOPanoptic

from mmbombo.registry import DATASETS
from .checks.coco_shapes import check_shape
from .coco_json import check_annotation
from .errors import DatasetError, reading


class _ByName:
    """Ids of categories in the order of the names, not of the file."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(path)

    def get_cat_ids(self, cat_names: Sequence[str]) -> List[int]:
        ids = {x['name']: i for i, x in self.cats.items()}
        missing = [name for name in cat_names if name not in ids]
        if missing:
            raise DatasetError(f'{self.path} has no categories {missing}, '
                               f'which are in the metainfo, but {list(ids)}')
        return [ids[name] for name in cat_names]


class _Coco(_ByName, COCO):

    def createIndex(self) -> None:
        for annotation in self.dataset['annotations']:
            check_annotation(annotation, self.path)
            check_shape(annotation, self.path)
            if not annotation.get('segmentation'):
                raise DatasetError(f'{self.path}: annotation '
                                   f'{annotation.get("id")} has no '
                                   'segmentation; draw it, or remove it')
        super().createIndex()


class _CocoPanoptic(_ByName, COCOPanoptic):

    def createIndex(self) -> None:
        for annotation in self.dataset['annotations']:
            for segment in annotation['segments_info']:
                check_annotation(
                    dict(segment, image_id=annotation['image_id']), self.path)
        super().createIndex()


class _Instances(CocoDataset):
    COCOAPI = _Coco


@DATASETS.register_module()
class CocoPanopticInstanceDataset(CocoPanopticDataset):
    """Panoptic segments, and instances whose masks overlap.

    Boxes and masks are those of an instance file, whose categories have the
    names of ``thing_classes``; the map is that of the panoptic PNG, where
    nothing overlaps. To be read by :class:`LoadPanopticInstances`. Labels are
    places in ``classes``, things first, whatever the order of the files.

    Args:
        instance_ann_file (str): In COCO's format, in ``data_root``.
        **kwargs: Arguments of mmdet's data set.
    """

    COCOAPI = _CocoPanoptic

    def __init__(self, *args, instance_ann_file: str, **kwargs) -> None:
        self.instance_ann_file = instance_ann_file
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Segments of mmdet's data set, with the instances of the file."""
        classes, things = (
            tuple(self.metainfo[x]) for x in ('classes', 'thing_classes'))
        if classes[:len(things)] != things:
            raise DatasetError(
                f'metainfo: classes={classes} do not begin with '
                f'thing_classes={things}')
        with reading(self.ann_file, 'a file of COCO panoptic segments'):
            data_list = super().load_data_list()
        if not data_list:
            raise DatasetError(f'{self.ann_file} lists no image')
        ann_file = osp.join(self.data_root or '', self.instance_ann_file)
        with reading(ann_file, 'a file of COCO instances'):
            instances = _Instances(
                ann_file=ann_file,
                data_prefix=dict(img=''),
                metainfo=dict(classes=things),
                backend_args=self.backend_args,
                lazy_init=True)
            found = {
                x['img_id']: x['instances']
                for x in instances.load_data_list()
            }
        for data in data_list:
            if data['img_id'] not in found:
                raise DatasetError(
                    f'{ann_file}: has no image '
                    f'{data["img_id"]} of {self.ann_file}; is it the '
                    'instance_ann_file of the same images?')
            data['instances'] = found[data['img_id']]
        return data_list

    def prepare_data(self, idx: int) -> dict:
        """A sample; ``DatasetError`` says where a file that cannot be read is
        listed."""
        try:
            return super().prepare_data(idx)
        except (OSError, ValueError) as error:
            path = self.get_data_info(idx)['img_path']
            raise DatasetError(f'{self.ann_file}: {path!r}: {error}; restore '
                               'the file, or correct its name') from error
