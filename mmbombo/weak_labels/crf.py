# Copyright (c) mmbombo contributors.
from dataclasses import dataclass
from typing import Union

import torch
from torch import Tensor

from mmbombo.utils import UserError
from .permutohedral_lattice import PermutohedralLattice, csr_matrix


@dataclass(frozen=True)
class CRFParams:
    """Standard deviations (pixels, RGB values of 0..255) and weights."""
    gaussian_sxy: float
    gaussian_compat: float
    bilateral_sxy: float
    bilateral_srgb: float
    bilateral_compat: float
    iterations: int = 10


#: What RRM and AuxSegNet published.
CRF_PRESETS = dict(
    rrm_label=CRFParams(3, 3, 80, 13, 10),
    rrm_infer=CRFParams(3, 3, 83, 5, 4),
    aux_infer=CRFParams(4, 3, 83, 5, 3),
    aux_sal=CRFParams(3, 3, 60, 5, 5, iterations=1))


class DenseCRF:
    """Fully connected CRF of one image, solved by mean field.

    Krähenbühl and Koltun, NeurIPS 2011: Potts model, a Gaussian kernel of the
    positions and one of positions and colors, both normalized symmetrically,
    :math:`D^{-1/2} K D^{-1/2}`, with a pixel's message to itself, as in their
    program. The bilateral kernel is a :class:`PermutohedralLattice`.

    Args:
        image (Tensor): RGB ``(3, H, W)`` in 0..255.
        params (CRFParams | str): Parameters, or the name of a preset.
    """

    def __init__(self, image: Tensor, params: Union[CRFParams, str]) -> None:
        self.params = crf_params(params)
        height, width = image.shape[1:]
        self.vertical, self.horizontal = [
            gaussian_matrix(length, self.params.gaussian_sxy, image.device)
            for length in (height, width)
        ]
        positions = torch.stack(
            torch.meshgrid(
                torch.arange(height, device=image.device),
                torch.arange(width, device=image.device),
                indexing='ij'))
        features = torch.cat([
            positions / self.params.bilateral_sxy,
            image.float() / self.params.bilateral_srgb
        ])
        self.lattice = PermutohedralLattice(features.flatten(1).T)
        ones = features.new_ones(height * width, 1)
        self.scale = self.lattice.filter(ones).rsqrt()

    @torch.no_grad()
    def __call__(self, unary: Tensor) -> Tensor:
        """Probabilities of energies ``-log p``, both ``(..., C, H, W)``.

        Several unaries of the image cost less together.
        """
        # no pixel may exclude all classes
        scores = -unary.float().clamp(max=1e4)
        with torch.autocast(unary.device.type, enabled=False):
            # over a dimension of a few classes in the end it would be slow
            probs = scores.softmax(dim=-3)
            for _ in range(self.params.iterations):
                values = probs.flatten(0, -3).movedim(0, -1).contiguous()
                message = self._bilateral(values) + self._gaussian(values)
                message = message.movedim(-1, 0).reshape(scores.shape)
                probs = message.add_(scores).softmax(dim=-3)
        return probs

    def _bilateral(self, probs: Tensor) -> Tensor:
        """Messages ``(H, W, C)`` by position and color."""
        values = probs.flatten(0, 1) * self.scale
        scale = self.scale * self.params.bilateral_compat
        return (self.lattice.filter(values) * scale).view_as(probs)

    def _gaussian(self, probs: Tensor) -> Tensor:
        """Messages ``(H, W, C)`` by position: along columns, then rows."""
        for matrix in (self.vertical, self.horizontal):
            probs = (matrix @ probs.flatten(1)).view_as(probs)
            probs = probs.transpose(0, 1).contiguous()
        return probs * self.params.gaussian_compat


def gaussian_matrix(length: int, sigma: float, device: torch.device) -> Tensor:
    """Symmetrically normalized kernel of a line, a sparse matrix."""
    places = torch.arange(length, device=device) / sigma
    distance = places - places[:, None]
    near = distance.abs() <= 4
    kernel = (-distance**2 / 2).exp() * near
    scale = kernel.sum(dim=1).rsqrt()
    kernel *= scale * scale[:, None]
    return csr_matrix(
        near.sum(dim=1),
        near.nonzero()[:, 1], kernel[near], length)


def crf_params(params: Union[CRFParams, str, dict]) -> CRFParams:
    """Parameters of a preset's name, of a dict or themselves."""
    given = params
    try:
        if isinstance(given, dict):
            params = CRFParams(**given)
        elif isinstance(given, str):
            params = CRF_PRESETS[given]
        if min(params.gaussian_sxy, params.bilateral_sxy,
               params.bilateral_srgb) > 0:
            return params
    except (AttributeError, KeyError, TypeError):
        pass
    raise UserError(
        f'crf={given!r} is neither one of {", ".join(CRF_PRESETS)} nor a dict '
        f'of {", ".join(CRFParams.__annotations__)} with positive deviations')
