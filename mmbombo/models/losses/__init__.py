# Copyright (c) mmbombo contributors.
from .pixel_losses import InverseFrequencyCELoss, MaxPixelLoss
from .proposal_losses import ProposalSaliencyLoss, SeedLoss

__all__ = [
    'InverseFrequencyCELoss', 'MaxPixelLoss', 'ProposalSaliencyLoss',
    'SeedLoss'
]
