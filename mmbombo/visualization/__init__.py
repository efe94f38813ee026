# Copyright (c) mmbombo contributors.
from .multi_task_visualizer import MultiTaskLocalVisualizer
from .palette import ClassStyle, class_styles

__all__ = ['ClassStyle', 'MultiTaskLocalVisualizer', 'class_styles']
