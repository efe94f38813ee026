# Copyright (c) mmbombo contributors.
"""Class activation maps and saliency -> masks, as AuxSegNet makes them."""
from typing import Callable

import torch
from torch import Tensor

from mmbombo.structures import IGNORE_INDEX
from mmbombo.structures.image_labels import ABSENT, UNKNOWN

#: Softens the energies of saliency, in the published code.
_TAU = 1.05


def fuse_cam_saliency(cam: Tensor,
                      saliency: Tensor,
                      labels: Tensor,
                      cam_threshold: float = 0.2,
                      saliency_threshold: float = 0.06) -> Tensor:
    """Keep the pixels of which activation maps and saliency say the same.

    What is active and salient has the most active tag; what is neither is
    background; the rest is unknown (published code of AuxSegNet). So is, of
    our own, a pixel of unknown saliency, or of a tag that is unknown.

    Args:
        cam (Tensor): ``(T, H, W)``, of T >= 1 tags, each with a maximum of 1.
        saliency (Tensor): ``(H, W)`` between 0 and 1, negative where unknown.
        labels (Tensor): ``(T, )``: 1 present, 0 absent, -1 unknown. Absent
            tags have no pixel.
        cam_threshold (float): Above it, a pixel is active. Defaults to 0.2.
        saliency_threshold (float): Above it, it is salient. Defaults to 0.06.

    Returns:
        Tensor: ``(H, W)`` int64: 0 background, k tag k - 1, 255 unknown.
    """
    best, tag = cam.masked_fill((labels == ABSENT)[:, None, None], 0.).max(0)
    is_active = best > cam_threshold
    unclear = is_active != (saliency > saliency_threshold)
    unclear |= (saliency < 0) | is_active & (labels[tag] == UNKNOWN)
    numbers = torch.where(is_active, tag + 1, 0)
    return numbers.masked_fill(unclear, IGNORE_INDEX)


def refine_saliency(saliency: Tensor, crf: Callable[[Tensor],
                                                    Tensor]) -> Tensor:
    """Saliency ``(H, W)`` behind a CRF, as AuxSegNet's code calls it.

    Args:
        saliency (Tensor): ``(H, W)`` between 0 and 1.
        crf (Callable): Maps energies ``(2, H, W)`` to probabilities.
    """
    probs = torch.stack([1 - saliency, saliency])
    return crf(-(probs + 1e-8).log() / (_TAU * probs.sigmoid()))[1]
