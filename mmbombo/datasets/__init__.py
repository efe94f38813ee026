# Copyright (c) mmbombo contributors.
from .draw_seed import SeededIndex, seeded_draw
from .errors import DatasetError
from .joined_source import JoinedSource
from .multi_source_dataset import MultiSourceDataset
from .partial_annotation_dataset import PartialAnnotationDataset
from .partial_voc import PartialVOCDataset
from .samplers import PartialAnnotationSampler
from .transforms import (LabelComponents, LoadPartialAnnotations,
                         LoadPseudoMask, PackMultiTaskInputs, PipelineError,
                         RandomZoomCrop)

__all__ = [
    'DatasetError', 'JoinedSource', 'LabelComponents',
    'LoadPartialAnnotations', 'LoadPseudoMask', 'MultiSourceDataset',
    'PackMultiTaskInputs', 'PartialAnnotationDataset',
    'PartialAnnotationSampler', 'PartialVOCDataset', 'PipelineError',
    'RandomZoomCrop', 'SeededIndex', 'seeded_draw'
]
