# Copyright (c) mmbombo contributors.
from .metrics import (BoxAPMetric, CompatSegIoUMetric, CompatVOCMetric,
                      ImageLabelAPMetric, SaliencyMetric, SegIoUMetric,
                      VOCAPMetric)
from .multi_task_evaluator import MultiTaskEvaluator, check_metric_kinds
from .source_summary import SourceSummary, summarize_sources

__all__ = [
    'BoxAPMetric', 'CompatSegIoUMetric', 'CompatVOCMetric',
    'ImageLabelAPMetric', 'MultiTaskEvaluator', 'SaliencyMetric',
    'SegIoUMetric', 'SourceSummary', 'VOCAPMetric', 'check_metric_kinds',
    'summarize_sources'
]
