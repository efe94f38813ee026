# Copyright (c) mmbombo contributors.
from .base_weak_loss import BaseWeakLoss
from .box_for_mask_loss import BoxForMaskLoss
from .mask_for_box_loss import MaskForBoxLoss

__all__ = ['BaseWeakLoss', 'BoxForMaskLoss', 'MaskForBoxLoss']
