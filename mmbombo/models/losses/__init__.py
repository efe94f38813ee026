# Copyright (c) mmbombo contributors.
from .pixel_losses import InverseFrequencyCELoss, MaxPixelLoss
from .proposal_losses import ProposalSaliencyLoss, SeedLoss
from .sup_con_loss import SupConLoss

__all__ = [
    'InverseFrequencyCELoss', 'MaxPixelLoss', 'ProposalSaliencyLoss',
    'SeedLoss', 'SupConLoss'
]
