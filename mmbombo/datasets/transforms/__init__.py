# Copyright (c) mmbombo contributors.
from mmbombo.datasets.checks.evaluation_pipeline import \
    check_evaluation_pipeline
from mmbombo.datasets.checks.training_pipeline import (PipelineError,
                                                       check_pipeline,
                                                       probe_pipeline)
from .label_components import LabelComponents
from .load_partial_annotations import LoadPartialAnnotations
from .load_pseudo_mask import LoadPseudoMask
from .pack_multi_task_inputs import PackMultiTaskInputs
from .random_zoom_crop import RandomZoomCrop

__all__ = [
    'LabelComponents', 'LoadPartialAnnotations', 'LoadPseudoMask',
    'PackMultiTaskInputs', 'PipelineError', 'RandomZoomCrop',
    'check_evaluation_pipeline', 'check_pipeline', 'probe_pipeline'
]
