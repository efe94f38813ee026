# Copyright (c) mmbombo contributors.
from .local_module import LocalModule
from .local_task_head import LocalTaskHead
from .reconstruction_decoder import ReconstructionDecoder

__all__ = ['LocalModule', 'LocalTaskHead', 'ReconstructionDecoder']
