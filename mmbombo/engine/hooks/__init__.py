# Copyright (c) mmbombo contributors.
from .partial_annotation_check_hook import PartialAnnotationCheckHook
from .predictor_ema_hook import PredictorEMAHook
from .visualization_hook import MultiTaskVisualizationHook

__all__ = [
    'MultiTaskVisualizationHook', 'PartialAnnotationCheckHook',
    'PredictorEMAHook'
]
