# Copyright (c) mmbombo contributors.
from .no_pool_resnet import NoPoolResNet
from .vgg import VGG
from .wide_resnet38 import WideResNet38

__all__ = ['NoPoolResNet', 'VGG', 'WideResNet38']
