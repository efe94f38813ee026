# Copyright (c) mmbombo contributors.
from .base_weak_loss import BaseWeakLoss
from .box_for_mask_loss import BoxForMaskLoss
from .box_projection_loss import BoxProjectionLoss
from .box_seeds import BoxSeeds, PredictedSeeds, ProposalSeeds
from .dense_energy_loss import DenseEnergyLoss
from .distillation import *  # noqa: F401,F403
from .mask_for_box_loss import MaskForBoxLoss
from .tag_for_box_loss import TagForBoxLoss
from .tag_for_mask_loss import TagForMaskLoss
from .tag_for_proposal_loss import TagForProposalLoss

__all__ = [
    'BaseWeakLoss', 'BoxForMaskLoss', 'BoxProjectionLoss', 'BoxSeeds',
    'DenseEnergyLoss', 'MaskForBoxLoss', 'PredictedSeeds', 'ProposalSeeds',
    'TagForBoxLoss', 'TagForMaskLoss', 'TagForProposalLoss'
]
