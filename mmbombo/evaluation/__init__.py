# Copyright (c) mmbombo contributors.
from .metrics import BoxAPMetric, SegIoUMetric
from .multi_task_evaluator import MultiTaskEvaluator, check_metric_kinds
from .source_summary import SourceSummary, summarize_sources

__all__ = [
    'BoxAPMetric', 'MultiTaskEvaluator', 'SegIoUMetric', 'SourceSummary',
    'check_metric_kinds', 'summarize_sources'
]
