# Copyright (c) mmbombo contributors.
from .image_groups import group_images, mean_over_groups
from .step_context import StepContext
from .stock_teacher import from_stock_model, is_stock_model
from .teachers import OncePerImage, TeacherOutputs, Teachers

__all__ = [
    'OncePerImage', 'StepContext', 'TeacherOutputs', 'Teachers',
    'from_stock_model', 'group_images', 'is_stock_model', 'mean_over_groups'
]
