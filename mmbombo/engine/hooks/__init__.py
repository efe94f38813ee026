# Copyright (c) mmbombo contributors.
from .class_frequency_hook import ClassFrequencyHook
from .divergence_hook import DivergedError, DivergenceHook
from .gradient_conflict_hook import GradientConflictHook
from .local_supervision_hook import LocalSupervisionHook
from .loss_balance_hook import LossBalanceHook
from .partial_annotation_check_hook import PartialAnnotationCheckHook
from .predictor_ema_hook import PredictorEMAHook
from .pseudo_label_quality_hook import PseudoLabelQualityHook
from .step_seed_hook import StepSeedHook
from .stop_signal_hook import StopSignalHook
from .teacher_hook import TeacherHook
from .visualization_hook import MultiTaskVisualizationHook
from .whole_checkpoint_hook import WholeCheckpointHook

__all__ = [
    'ClassFrequencyHook', 'DivergedError', 'DivergenceHook',
    'GradientConflictHook', 'LocalSupervisionHook', 'LossBalanceHook',
    'MultiTaskVisualizationHook', 'PartialAnnotationCheckHook',
    'PredictorEMAHook', 'PseudoLabelQualityHook', 'StepSeedHook',
    'StopSignalHook', 'TeacherHook', 'WholeCheckpointHook'
]
