# Copyright (c) mmbombo contributors.
from typing import Union

from mmcv.transforms import BaseTransform

from mmbombo.registry import TRANSFORMS
from mmbombo.structures import BBOX, SEM_SEG, ClassMap
from mmbombo.weak_labels import label_components


@TRANSFORMS.register_module()
class LabelComponents(BaseTransform):
    """Label the connected components of a mask, for Mask-for-Box.

    It comes after augmentation, since the components must be those of the
    map that the network sees, and runs in the worker: labeling on the device
    is far slower. Images that have boxes, or no mask, pass unchanged.

    Added keys: ``component_map`` (int16 (H, W), 0 where there is none) and
    ``components``, its table; see
    :func:`mmbombo.weak_labels.label_components`.

    Args:
        class_map (dict | ClassMap): Relation of the classes, as the model's.
        min_area (float): Smallest area of a target, in pixels of the
            network's input. Defaults to 80, as in the authors'
            earlier code at 320 x 320.
    """

    def __init__(self,
                 class_map: Union[dict, ClassMap],
                 min_area: float = 80) -> None:
        if not isinstance(class_map, ClassMap):
            class_map = ClassMap(**class_map)
        self.class_map = class_map
        self.min_area = min_area

    def transform(self, results: dict) -> dict:
        """Add the components of one sample."""
        kinds = results['annotation_kinds']
        if SEM_SEG in kinds and BBOX not in kinds:
            results['component_map'], results['components'] = label_components(
                results['gt_seg_map'], self.min_area, self.class_map.thing_ids)
        return results
