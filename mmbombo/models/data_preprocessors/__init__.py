# Copyright (c) mmbombo contributors.
from .det_batch_resize import DetBatchResize
from .multi_task_data_preprocessor import MultiTaskDataPreprocessor

__all__ = ['DetBatchResize', 'MultiTaskDataPreprocessor']
