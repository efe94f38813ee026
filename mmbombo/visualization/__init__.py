# Copyright (c) mmbombo contributors.
from .multi_task_visualizer import MultiTaskLocalVisualizer
from .palette import ClassStyle, class_styles, label_map_image

__all__ = [
    'ClassStyle', 'MultiTaskLocalVisualizer', 'class_styles', 'label_map_image'
]
