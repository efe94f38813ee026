# Copyright (c) mmbombo contributors.
from .batch_slice import join_images, select_images
from .grid_points import (covered_cells, grid_points, prior_offset,
                          unpadded_shape, valid_cells, valid_cells_of_levels)
from .probe import (PROBE_SIZE, evaluation_mode, freeze_unreached_parameters,
                    probe_features, run_probe)
from .raw_images import raw_images
from .training_step import training_progress, zero_loss

__all__ = [
    'PROBE_SIZE', 'covered_cells', 'evaluation_mode',
    'freeze_unreached_parameters', 'grid_points', 'join_images',
    'prior_offset', 'probe_features', 'raw_images', 'run_probe',
    'select_images', 'training_progress', 'unpadded_shape', 'valid_cells',
    'valid_cells_of_levels', 'zero_loss'
]
