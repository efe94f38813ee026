# Copyright (c) mmbombo contributors.
from .evaluation_pipeline_check import check_evaluation_pipeline
from .label_components import LabelComponents
from .load_partial_annotations import LoadPartialAnnotations
from .load_pseudo_mask import LoadPseudoMask
from .pack_multi_task_inputs import PackMultiTaskInputs
from .pipeline_check import PipelineError, check_pipeline, probe_pipeline
from .random_zoom_crop import RandomZoomCrop

__all__ = [
    'LabelComponents', 'LoadPartialAnnotations', 'LoadPseudoMask',
    'PackMultiTaskInputs', 'PipelineError', 'RandomZoomCrop',
    'check_evaluation_pipeline', 'check_pipeline', 'probe_pipeline'
]
