# Copyright (c) mmbombo contributors.
from .imply_image_labels import ImplyImageLabels
from .label_components import LabelComponents
from .load_panoptic_instances import LoadPanopticInstances
from .load_partial_annotations import LoadPartialAnnotations
from .load_pseudo_mask import LoadPseudoMask
from .pack_multi_task_inputs import PackMultiTaskInputs
from .random_zoom_crop import RandomZoomCrop
from .saliency import move_saliency

__all__ = [
    'ImplyImageLabels', 'LabelComponents', 'LoadPanopticInstances',
    'LoadPartialAnnotations', 'LoadPseudoMask', 'PackMultiTaskInputs',
    'RandomZoomCrop', 'move_saliency'
]
