# Copyright (c) mmbombo contributors.
"""Class activation maps -> the pixels whose class is beyond doubt."""
from typing import Callable

import torch
from torch import Tensor

from mmbombo.structures import IGNORE_INDEX

#: Exponents of the background's score: low, so that little is foreground, and
#: high, so that little is background.
_LOW, _HIGH = 4, 32
#: A CRF's probability of a reliable pixel, and the background's score.
_SURE = 0.8
#: Of the pixels that a class wins with at least this score ...
_SEEN = 0.1
#: ... those above this quantile are reliable.
_QUANTILE = 0.6
#: Smallest probability that an energy is made of.
_SMALLEST = 1e-5


def reliable_regions(cam: Tensor, crf: Callable[[Tensor], Tensor]) -> Tensor:
    """Reliable regions of one image, as published code of RRM mines them:
    ``(H, W)`` int64, 0 background, k class k - 1, 255 unreliable.

    `Reliability Does Matter <https://arxiv.org/abs/1911.08039>`_, section
    "Reliable region mining". Two CRFs, one that is given a strong and one that
    is given a weak background, must be sure of a pixel, and so must the
    activation map ``(K, H, W)``, in [0, 1]: the background where nearly
    nothing is active, a class where it is among its own most active pixels.
    ``crf`` maps energies ``(2, 1 + K, H, W)`` to probabilities.

    What the published code cannot answer is our reconstruction: without any
    candidate class all is background, and a class that wins in a CRF alone has
    no reliable pixel.
    """
    if not len(cam):
        return cam.new_zeros(cam.shape[1:], dtype=torch.long)
    rest = 1 - cam.amax(0, keepdim=True)
    scores = torch.stack(
        [torch.cat([rest**power, cam]) for power in (_LOW, _HIGH)])
    low, high = crf(-scores.clamp(min=_SMALLEST).log())
    labels = low.max(0).indices  # much faster than argmax, on a CPU
    sure = _sure_pixels(scores[1], labels)
    sure &= torch.cat([high[:1], low[1:]]).amax(0) >= _SURE
    labels[labels == 0] = IGNORE_INDEX
    labels[high.max(0).indices == 0] = 0
    return labels.masked_fill(~sure, IGNORE_INDEX)


def _sure_pixels(scores: Tensor, labels: Tensor) -> Tensor:
    """Where the largest of scores ``(1 + K, H, W)`` is large for its class.

    Classes that are no pixel's label are passed over.
    """
    largest, winner = scores.max(0)
    sure = torch.zeros_like(winner, dtype=torch.bool)
    for k in labels.unique().tolist():
        won = winner == k
        seen = largest[won & (largest > _SEEN)]
        if k == 0:
            sure |= won & (largest > _SURE)
        elif len(seen):
            rank = int(_QUANTILE * len(seen))
            sure |= won & (largest > seen.kthvalue(rank + 1).values)
    return sure
