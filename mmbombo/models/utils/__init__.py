# Copyright (c) mmbombo contributors.
from .batch_slice import join_images, select_images
from .training_progress import training_progress
from .unreached_parameters import freeze_unreached_parameters

__all__ = [
    'freeze_unreached_parameters', 'join_images', 'select_images',
    'training_progress'
]
