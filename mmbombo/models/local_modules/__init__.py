# Copyright (c) mmbombo contributors.
from .local_class_head import LocalClassHead
from .local_module import LocalModule
from .local_task_head import LocalTaskHead
from .reconstruction_decoder import ReconstructionDecoder
from .small_image_decoder import SmallImageDecoder

__all__ = [
    'LocalClassHead', 'LocalModule', 'LocalTaskHead', 'ReconstructionDecoder',
    'SmallImageDecoder'
]
