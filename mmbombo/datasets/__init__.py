# Copyright (c) mmbombo contributors.
from .checks.refused_transforms import PipelineError
from .coco_panoptic_instances import CocoPanopticInstanceDataset
from .concat_source import ConcatSource
from .draw_seed import SeededIndex, seeded_draw
from .errors import DatasetError
from .image_array_dataset import ImageArrayDataset
from .image_label_dataset import ImageLabelDataset
from .labelme_dataset import LabelMeDataset
from .mixed_source_dataset import MixedSourceDataset
from .partial_annotation_dataset import PartialAnnotationDataset
from .partial_voc import PartialVOCDataset
from .posed_rgbd_dataset import PosedRGBDDataset
from .samplers import PartialAnnotationSampler
from .stanford_2d3ds_dataset import Stanford2D3DSDataset
from .transforms import (ImplyImageLabels, LabelComponents,
                         LoadPanopticInstances, LoadPartialAnnotations,
                         LoadPseudoMask, PackMultiTaskInputs, RandomZoomCrop)
from .yolo_dataset import YOLODataset

__all__ = [
    'CocoPanopticInstanceDataset', 'ConcatSource', 'DatasetError',
    'ImageArrayDataset', 'ImageLabelDataset', 'ImplyImageLabels',
    'LabelComponents', 'LabelMeDataset', 'LoadPanopticInstances',
    'LoadPartialAnnotations', 'LoadPseudoMask', 'MixedSourceDataset',
    'PackMultiTaskInputs', 'PartialAnnotationDataset',
    'PartialAnnotationSampler', 'PartialVOCDataset', 'PipelineError',
    'PosedRGBDDataset', 'RandomZoomCrop', 'SeededIndex',
    'Stanford2D3DSDataset', 'YOLODataset', 'seeded_draw'
]
