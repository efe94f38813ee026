# Copyright (c) mmbombo contributors.
from .pixel_losses import InverseFrequencyCELoss, MaxPixelLoss
from .sup_con_loss import SupConLoss

__all__ = ['InverseFrequencyCELoss', 'MaxPixelLoss', 'SupConLoss']
