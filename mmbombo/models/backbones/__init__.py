# Copyright (c) mmbombo contributors.
from .no_pool_resnet import NoPoolResNet
from .wide_resnet38 import WideResNet38

__all__ = ['NoPoolResNet', 'WideResNet38']
