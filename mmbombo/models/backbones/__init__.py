# Copyright (c) mmbombo contributors.
from .cifar_resnet import CifarResNet
from .no_pool_resnet import NoPoolResNet
from .vgg import VGG
from .wide_resnet38 import WideResNet38

__all__ = ['CifarResNet', 'NoPoolResNet', 'VGG', 'WideResNet38']
