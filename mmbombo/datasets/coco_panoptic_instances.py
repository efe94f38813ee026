# Copyright (c) mmbombo contributors.
import os.path as osp
from typing import List, Sequence

from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmdet.datasets.api_wrappers import COCO, COCOPanoptic

from mmbombo.registry import DATASETS
from .checks.coco_shapes import check_shape
from .errors import DatasetError


class _ByName:
    """Ids of categories in the order of the names, not of the file."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(path)
        for annotation in self.dataset.get('annotations', ()):
            check_shape(annotation, path)

    def get_cat_ids(self, cat_names: Sequence[str]) -> List[int]:
        ids = {x['name']: i for i, x in self.cats.items()}
        missing = [name for name in cat_names if name not in ids]
        if missing:
            raise DatasetError(f'{self.path} has no categories {missing}, '
                               f'which are in the metainfo, but {list(ids)}')
        return [ids[name] for name in cat_names]


class _Coco(_ByName, COCO):
    pass


class _CocoPanoptic(_ByName, COCOPanoptic):
    pass


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
        data_list = super().load_data_list()
        ann_file = osp.join(self.data_root or '', self.instance_ann_file)
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
