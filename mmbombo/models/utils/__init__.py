# Copyright (c) mmbombo contributors.
from .batch_slice import select_images
from .unreached_parameters import freeze_unreached_parameters

__all__ = ['freeze_unreached_parameters', 'select_images']
