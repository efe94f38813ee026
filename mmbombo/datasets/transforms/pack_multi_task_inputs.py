# Copyright (c) mmbombo contributors.
from typing import Sequence

import torch
from mmdet.datasets.transforms import PackDetInputs
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData, PixelData

from mmbombo.registry import ANNOTATION_PACKERS, TRANSFORMS
from mmbombo.structures import (BBOX, UNLISTED_LABEL, AnnotationKind,
                                annotation_kinds)

META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor',
             'flip', 'flip_direction', 'annotation_kinds', 'source',
             'sample_idx', 'instances', 'incomplete_labels')
#: Column of the table of components -> field of the packed instances.
COMPONENT_FIELDS = dict(
    boxes='bboxes',
    labels='labels',
    areas='areas',
    ignored='ignored',
    pieces='pieces')


@TRANSFORMS.register_module()
class PackMultiTaskInputs(PackDetInputs):
    """Pack an image with the annotations that its kinds name.

    A sample has the fields of the kinds of its image and of no other, such as
    ``gt_instances`` and ``ignored_instances`` with the kind ``bbox``; so
    "unannotated" is the absence of a field and "annotated, but empty" is an
    empty field. Boxes of unlisted categories become ``unlisted_instances``,
    if there are any. A map that was made from boxes becomes
    ``pseudo_sem_seg``, and the sets of classes that its values number, if
    they are not ids, a tensor ``pseudo_classes`` (T, C). How other kinds are
    packed is registered in ``ANNOTATION_PACKERS``. Components of a mask
    become ``component_map`` and ``components``.

    Args:
        meta_keys (Sequence[str]): Keys that become the metainfo of the
            sample, where present.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        super().__init__(meta_keys=meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack ``inputs``, uint8 ``(3, H, W)``, and ``data_samples``, a
        :obj:`DetDataSample`."""
        kinds = results['annotation_kinds']
        # MMDetection would copy every number of every box
        instances = results.pop('instances', None)
        packed = super().transform(results)
        sample = packed['data_samples']
        if instances is not None and 'instances' in self.meta_keys:
            sample.set_field(instances, 'instances', field_type='metainfo')
        if results.get('seg_map_is_pseudo'):
            sample.pseudo_sem_seg = sample.gt_sem_seg
        if 'pseudo_classes' in results:
            sample.pseudo_classes = torch.from_numpy(results['pseudo_classes'])
        for kind in annotation_kinds():
            pack = ANNOTATION_PACKERS.module_dict.get(kind.name)
            if kind.name not in kinds:
                _drop(sample, kind)
            elif pack is not None:
                pack(results, sample)
        if 'component_map' in results:
            sample.component_map = PixelData(
                data=torch.from_numpy(results['component_map'][None]))
            sample.components = InstanceData(
                **{
                    field: torch.as_tensor(results['components'][column])
                    for column, field in COMPONENT_FIELDS.items()
                })
        return packed


def _drop(sample: DetDataSample, kind: AnnotationKind) -> None:
    """Take out what MMDetection packs for every image."""
    for field in kind.fields:
        if field.name in sample:
            delattr(sample, field.name)


@ANNOTATION_PACKERS.register_module(name=BBOX)
def part_unlisted(results: dict, sample: DetDataSample) -> None:
    """Take what is no class of the detector out of what it ignores."""
    ignored = sample.ignored_instances
    unlisted_categories = ignored.labels == UNLISTED_LABEL
    if unlisted_categories.any():
        sample.ignored_instances = ignored[~unlisted_categories]
        sample.unlisted_instances = InstanceData(
            # MMDetection's preprocessor unwraps only the fields it knows
            bboxes=get_box_tensor(ignored.bboxes)[unlisted_categories],
            labels=ignored.labels[unlisted_categories])
