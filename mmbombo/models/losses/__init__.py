# Copyright (c) mmbombo contributors.
from .pixel_losses import InverseFrequencyCELoss, MaxPixelLoss

__all__ = ['InverseFrequencyCELoss', 'MaxPixelLoss']
