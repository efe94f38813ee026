# Copyright (c) mmbombo contributors.
from . import load_depth, saliency  # noqa: F401
from .add_gt_regions import AddGTRegions
from .image_crops import RandomPaddedCrop, RandomResizedCrop
from .imply_image_labels import ImplyImageLabels
from .label_components import LabelComponents
from .load_panoptic_instances import LoadPanopticInstances
from .load_partial_annotations import LoadPartialAnnotations
from .load_pseudo_mask import LoadPseudoMask
from .load_regions import LoadRegions, PackRegions, RegionResize
from .pack_multi_task_inputs import PackMultiTaskInputs
from .random_zoom_crop import RandomZoomCrop
from .recorded_moves import move_maps, move_saliency, move_superpixels

__all__ = [
    'AddGTRegions', 'ImplyImageLabels', 'LabelComponents',
    'LoadPanopticInstances', 'LoadPartialAnnotations', 'LoadPseudoMask',
    'LoadRegions', 'PackMultiTaskInputs', 'PackRegions', 'RandomPaddedCrop',
    'RandomResizedCrop', 'RandomZoomCrop', 'RegionResize', 'move_maps',
    'move_saliency', 'move_superpixels'
]
