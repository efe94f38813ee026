# Copyright (c) mmbombo contributors.
"""What ``mmcv.ops`` takes from the compiled module ``mmcv._ext``.

MMCV asks for each of its operators by name when ``mmcv.ops`` is imported.
Those of the heads that we name are here; any other says what to do when it
is called.
"""
from typing import Callable

from .backend import torchvision_ops
from .deform_conv import (deform_conv_backward_input,
                          deform_conv_backward_parameters, deform_conv_forward)
from .focal_loss import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from .nms import nms
from .roi_align import roi_align_backward, roi_align_forward
from .roi_pool import roi_pool_backward, roi_pool_forward
from .soft_nms import softnms

__all__ = [
    'deform_conv_backward_input', 'deform_conv_backward_parameters',
    'deform_conv_forward', 'get_compiler_version',
    'get_compiling_cuda_version', 'get_source', 'nms', 'roi_align_backward',
    'roi_align_forward', 'roi_pool_backward', 'roi_pool_forward',
    'sigmoid_focal_loss_backward', 'sigmoid_focal_loss_forward', 'softnms'
]


def get_source() -> str:
    return 'torch' if torchvision_ops() is None else 'torchvision'


def get_compiler_version() -> str:
    return 'not compiled'


def get_compiling_cuda_version() -> str:
    return 'not compiled'


def __getattr__(name: str) -> Callable:
    if name.startswith('__'):
        raise AttributeError(name)

    def missing(*args, **kwargs):
        raise NotImplementedError(
            f'{name} is an operator of compiled MMCV, and mmcv-lite is '
            'installed: replace it by `pip uninstall mmcv-lite && pip install '
            '--no-build-isolation mmcv==2.1.0`, which compiles for 10 to 20 '
            'minutes.')

    return missing
