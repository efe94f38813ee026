# Copyright (c) mmbombo contributors.
from .no_pool_resnet import NoPoolResNet

__all__ = ['NoPoolResNet']
