# Copyright (c) mmbombo contributors.
from .batch_slice import join_images, select_images
from .evaluation_mode import evaluation_mode
from .grid_points import grid_points, prior_offset
from .probe import PROBE_SIZE, probe_features, run_probe
from .training_progress import training_progress
from .unpadded_shape import unpadded_shape
from .unreached_parameters import freeze_unreached_parameters
from .valid_cells import valid_cells, valid_cells_of_levels

__all__ = [
    'PROBE_SIZE', 'grid_points', 'evaluation_mode',
    'freeze_unreached_parameters', 'join_images', 'prior_offset',
    'probe_features', 'run_probe', 'select_images', 'training_progress',
    'unpadded_shape', 'valid_cells', 'valid_cells_of_levels'
]
