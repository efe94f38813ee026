# Copyright (c) mmbombo contributors.
from .decoders import ReconstructionDecoder, SmallImageDecoder
from .local_class_head import LocalClassHead
from .local_module import LocalModule
from .local_task_head import LocalTaskHead

__all__ = [
    'LocalClassHead', 'LocalModule', 'LocalTaskHead', 'ReconstructionDecoder',
    'SmallImageDecoder'
]
