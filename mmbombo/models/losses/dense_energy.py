# Copyright (c) mmbombo contributors.
import torch
from torch import Tensor

from .dist_mean import full_precision

#: Pairs of pixels that are looked at together: what stays in a core's cache,
#: and what keeps a GPU busy.
BLOCK = dict(cpu=2**19, cuda=2**26)


def dense_energy(probs: Tensor,
                 images: Tensor,
                 inside: Tensor,
                 gate: Tensor,
                 sigma_xy: float,
                 sigma_rgb: float,
                 exact_grad: bool = False) -> Tensor:
    """How far pixels alike in color and place agree, with a minus.

    ``E = - sum_i S_i sum_c P_ci (G P_c)_i`` with the Gaussian ``G_ij =
    exp(-|xy_i - xy_j|^2 / 2 sigma_xy^2 - |rgb_i - rgb_j|^2 / 2 sigma_rgb^2)``
    as in the code of RRM (Zhang et al., AAAI 2020): without the paper's
    constant, so that it is negative, and with ``i = j``. The gate ``S`` is a
    constant. Where it is not 1, the published gradient ``-2 S (G P)`` is not
    that of ``E``, which is ``-(S (G P) + G (S P))``.

    Args:
        probs (Tensor): ``(N, C, H, W)`` probabilities P.
        images (Tensor): ``(N, 3, H, W)`` colors, 0 to 255.
        inside (Tensor): ``(N, 1, H, W)`` pixels of the image, not of its
            padding. Others have no part.
        gate (Tensor): ``(N, 1, H, W)`` S, no gradient flows through it.
        sigma_xy (float): Of the places, in pixels of the map.
        sigma_rgb (float): Of the colors.
        exact_grad (bool): Whether the gradient is that of ``E``. Defaults to
            False, the published one.

    Returns:
        Tensor: ``(N, )`` energies.
    """
    with torch.autocast(probs.device.type, enabled=False):
        probs = full_precision(probs) * inside
        with torch.no_grad():
            points = affinity_points(images.to(probs), sigma_xy, sigma_rgb)
            gate = gate.to(probs)
            if exact_grad:
                near, gated = gaussian_filter(
                    torch.cat([probs, gate * probs], dim=1),
                    points).chunk(2, 1)
                slope = -gate * near - gated
            else:
                slope = -2 * gate * gaussian_filter(probs, points)
        # the energy is quadratic: half of its slope times where we are
        linear = (slope * probs).flatten(1).sum(dim=1)
        return linear - linear.detach() / 2


def affinity_points(images: Tensor, sigma_xy: float,
                    sigma_rgb: float) -> Tensor:
    """Place and color of pixels in sigmas ``(N, H * W, 5)``, around 0."""
    num, _, height, width = images.shape
    places = torch.meshgrid(
        *(torch.arange(x, device=images.device) for x in (height, width)),
        indexing='ij')
    places = torch.stack(places).to(images).expand(num, -1, -1, -1)
    points = torch.cat([places / sigma_xy, images / sigma_rgb], dim=1)
    points = points.flatten(2).transpose(1, 2)
    return points - points.mean(dim=1, keepdim=True)


def gaussian_filter(values: Tensor, points: Tensor) -> Tensor:
    """Sum of values ``(N, C, H, W)``, each times a Gaussian of the distance.

    Exact. ``G`` is symmetric: half of it is computed, block by block, and
    none is kept.
    """
    num, _, height, width = values.shape
    size = height * width
    rows = max(1, BLOCK.get(values.device.type, BLOCK['cuda']) // size)
    square = -points.square().sum(dim=2, keepdim=True) / 2
    left = torch.cat([points, square, torch.ones_like(square)], dim=2)
    right = torch.cat([points, torch.ones_like(square), square], dim=2)
    right = right.transpose(1, 2).contiguous()
    given = values.flatten(2).transpose(1, 2).contiguous()
    total = torch.zeros_like(given)
    for i in range(num):
        for start in range(0, size, rows):
            end = start + rows
            weights = (left[i, start:end] @ right[i, :, start:]).exp_()
            total[i, start:end] += weights @ given[i, start:]
            total[i, end:] += weights[:, rows:].T @ given[i, start:end]
    return total.transpose(1, 2).reshape_as(values)
