# Copyright (c) mmbombo contributors.
from .cifar_resnet import CifarResNet
from .locally_supervised_backbone import (LocalModules,
                                          locally_supervised_backbone)
from .no_pool_resnet import NoPoolResNet
from .vgg import VGG
from .wide_resnet38 import WideResNet38

__all__ = [
    'CifarResNet', 'LocalModules', 'NoPoolResNet', 'VGG', 'WideResNet38',
    'locally_supervised_backbone'
]
