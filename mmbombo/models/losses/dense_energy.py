# Copyright (c) mmbombo contributors.
from collections import defaultdict
from typing import Tuple

import torch
from torch import Tensor

from mmbombo.weak_labels.permutohedral_lattice import PermutohedralLattice
from .dist_mean import full_precision

#: Largest maps that are filtered exactly, on a CPU and on a GPU.
EXACT_PIXELS = defaultdict(lambda: 160 * 160, cpu=48 * 48)

#: Pairs of pixels that are looked at together: what stays in a core's cache,
#: and what keeps a GPU busy.
BLOCK = defaultdict(lambda: 2**26, cpu=2**18)

#: Pixels whose exact sums set the amplitude of the lattice.
PROBED_PIXELS = 128


def dense_energy(probs: Tensor,
                 images: Tensor,
                 inside: Tensor,
                 gate: Tensor,
                 sigma_xy: float,
                 sigma_rgb: float,
                 exact_grad: bool = False,
                 method: str = 'auto') -> Tensor:
    """How far pixels alike in color and place agree, with a minus, ``(N, )``.

    ``E = - sum_i S_i sum_c P_ci (G P_c)_i`` with the Gaussian ``G_ij =
    exp(-|xy_i - xy_j|^2 / 2 sigma_xy^2 - |rgb_i - rgb_j|^2 / 2 sigma_rgb^2)``
    as in the code of RRM (Zhang et al., AAAI 2020): without the paper's
    constant, so that it is negative, and with ``i = j``. The gate ``S`` is a
    constant. Where it is not 1, the published gradient ``-2 S (G P)`` is not
    that of ``E`` (``exact_grad``), which is ``-(S (G P) + G (S P))``.

    ``probs`` ``(N, C, H, W)`` are P, ``images`` ``(N, 3, H, W)`` colors of 0
    to 255, ``inside`` ``(N, 1, H, W)`` the pixels of the image, not of its
    padding, and ``gate`` ``(N, 1, H, W)`` is S. ``sigma_xy`` is in pixels of
    the map. ``method`` is 'exact', 'lattice', or 'auto', which is exact up to
    ``EXACT_PIXELS``.
    """
    with torch.autocast(probs.device.type, enabled=False):
        probs = full_precision(probs) * inside
        with torch.no_grad():
            points = affinity_points(images.to(probs), sigma_xy, sigma_rgb)
            gate = gate.to(probs)
            if exact_grad:
                both = torch.cat([probs, gate * probs], dim=1)
                near, gated = gaussian_filter(both, points, method).chunk(2, 1)
                slope = -gate * near - gated
            else:
                slope = -2 * gate * gaussian_filter(probs, points, method)
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


def gaussian_filter(values: Tensor,
                    points: Tensor,
                    method: str = 'auto') -> Tensor:
    """Sum of all pixels' values ``(N, C, H, W)``, each times a Gaussian of the
    distance of points ``(N, H * W, D)``, in standard deviations."""
    if method == 'auto':
        small = points.shape[1] <= EXACT_PIXELS[values.device.type]
        method = 'exact' if small else 'lattice'
    run = dict(exact=exact_filter, lattice=lattice_filter)[method]
    filtered = [run(*image) for image in zip(values.flatten(2), points)]
    return torch.stack(filtered).view_as(values)


def exact_filter(values: Tensor, points: Tensor) -> Tensor:
    """Values ``(C, P)`` of one image, filtered.

    The Gaussians are symmetric: half of them are computed, block by block,
    and none is kept.
    """
    size = len(points)
    rows = max(32, BLOCK[values.device.type] // size)
    left, right = gaussian_factors(points)
    total = torch.zeros_like(values)
    for start in range(0, size, rows):
        end = start + rows
        weights = (left[start:end] @ right[:, start:]).exp_()
        total[:, start:end] += values[:, start:] @ weights.T
        total[:, end:] += values[:, start:end] @ weights[:, rows:]
    return total


def lattice_filter(values: Tensor, points: Tensor) -> Tensor:
    """Values ``(C, P)`` of one image, filtered approximately.

    A lattice has too large an amplitude where the image is flat, so the exact
    sums of a few pixels set it.
    """
    filtered = PermutohedralLattice(points).filter(values.T).T.to(values)
    spread = torch.arange(PROBED_PIXELS, device=points.device) * 0.6180339887
    probed = (spread % 1 * len(points)).long()
    left, right = gaussian_factors(points)
    exact = (left[probed] @ right).exp_() @ values.sum(dim=0)
    approximate = filtered[:, probed].sum()
    return filtered * (exact.sum() / approximate.clamp(min=1e-6))


def gaussian_factors(points: Tensor) -> Tuple[Tensor, Tensor]:
    """``(P, D + 2)`` and ``(D + 2, P)``: exp of the product is Gaussian."""
    square = -points.square().sum(dim=1, keepdim=True) / 2
    one = torch.ones_like(square)
    left = torch.cat([points, square, one], dim=1)
    right = torch.cat([points, one, square], dim=1)
    return left, right.T.contiguous()
