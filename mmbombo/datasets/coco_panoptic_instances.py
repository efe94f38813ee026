# Copyright (c) mmbombo contributors.
import os.path as osp
from typing import List

from mmdet.datasets import CocoDataset, CocoPanopticDataset

from mmbombo.registry import DATASETS
from .errors import DatasetError


@DATASETS.register_module()
class CocoPanopticInstanceDataset(CocoPanopticDataset):
    """Panoptic segments, and instances whose masks overlap.

    Boxes and masks are those of an instance file, whose categories have the
    names of ``thing_classes``; the map is that of the panoptic PNG, where
    nothing overlaps. To be read by :class:`LoadPanopticInstances`.

    Args:
        instance_ann_file (str): In COCO's format, in ``data_root``.
        **kwargs: Arguments of mmdet's data set.
    """

    def __init__(self, *args, instance_ann_file: str, **kwargs) -> None:
        self.instance_ann_file = instance_ann_file
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Segments of mmdet's data set, with the instances of the file."""
        data_list = super().load_data_list()
        ann_file = osp.join(self.data_root or '', self.instance_ann_file)
        things = CocoDataset(
            ann_file=ann_file,
            data_prefix=dict(img=''),
            metainfo=dict(classes=self.metainfo['thing_classes']),
            backend_args=self.backend_args,
            lazy_init=True)
        found = {x['img_id']: x['instances'] for x in things.load_data_list()}
        for data in data_list:
            if data['img_id'] not in found:
                raise DatasetError(
                    f'{ann_file}: has no image '
                    f'{data["img_id"]} of {self.ann_file}; is it the '
                    'instance_ann_file of the same images?')
            data['instances'] = found[data['img_id']]
        return data_list
