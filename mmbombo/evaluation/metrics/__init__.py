# Copyright (c) mmbombo contributors.
from .boundary_iou import BoundaryIoUMetric
from .box_ap import BoxAPMetric
from .compat import CompatSegIoUMetric, CompatVOCMetric
from .cor_loc import CorLocMetric
from .detection_errors import DetectionErrorMetric
from .dump_predictions import DumpPredictions
from .image_label_metrics import ImageLabelAPMetric, TopAccuracyMetric
from .order_accuracy import OrderAccuracy
from .panoptic_quality import PanopticQualityMetric
from .saliency import SaliencyMetric
from .seg_iou import SegIoUMetric
from .trimap_accuracy import TrimapAccuracyMetric
from .voc_ap import VOCAPMetric

__all__ = [
    'BoundaryIoUMetric', 'BoxAPMetric', 'CompatSegIoUMetric',
    'CompatVOCMetric', 'CorLocMetric', 'DetectionErrorMetric',
    'DumpPredictions', 'ImageLabelAPMetric', 'OrderAccuracy',
    'PanopticQualityMetric', 'SaliencyMetric', 'SegIoUMetric',
    'TopAccuracyMetric', 'TrimapAccuracyMetric', 'VOCAPMetric'
]
