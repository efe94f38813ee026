# Copyright (c) mmbombo contributors.
import math
import warnings
from typing import Tuple

import torch
from torch import Tensor

# not around the call: lattices are built in threads
warnings.filterwarnings('ignore', 'Sparse CSR tensor support is in beta')

#: Blurring loses what would pass through vertices that no point touches. This
#: factor makes up for it, on average over photographs.
_AMPLITUDE = 1.28


class PermutohedralLattice:
    r"""A fast approximation of the Gaussian filter of scattered points.

    :math:`y_i = \sum_j \exp(-|f_i - f_j|^2 / 2) x_j`, the point itself
    included, in time linear in the number of points (Adams et al.,
    Eurographics 2010). Values are spread over the vertices of a lattice,
    blurred along its directions, and read. The blur is the mean of both
    orders of the directions, so the operator is symmetric.

    Args:
        features (Tensor): ``(N, d)``, each divided by its standard deviation.
    """

    @torch.no_grad()
    def __init__(self, features: Tensor) -> None:
        codes, weights, steps = lattice_vertices(features.float())
        num_points, corners = codes.shape
        codes, order = codes.flatten().sort()
        vertices, index, counts = codes.unique_consecutive(
            return_inverse=True, return_counts=True)
        weights = weights.flatten()
        self.splat = csr_matrix(counts, order // corners, weights[order],
                                num_points)
        self.slice = csr_matrix(
            counts.new_full((num_points, ), corners),
            torch.empty_like(index).scatter_(0, order, index), weights,
            len(vertices))
        self.blurs = [blur_matrix(vertices, step) for step in steps]
        # the volumes under the Gaussian and in a cell of the lattice
        self.amplitude = _AMPLITUDE * corners**.5 * (4 * math.pi / 3)**(
            (corners - 1) / 2)

    @torch.no_grad()
    def filter(self, values: Tensor) -> Tensor:
        """Filter values ``(N, C)`` in float32."""
        with torch.autocast(values.device.type, enabled=False):
            forth = back = self.splat @ values.float()
            for first, last in zip(self.blurs, reversed(self.blurs)):
                forth, back = first @ forth, last @ back
            return self.slice @ (forth + back).mul_(self.amplitude / 2)


def lattice_vertices(features: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """The corners of the simplex around each point ``(N, d)``: their codes and
    barycentric coordinates ``(N, d + 1)``, by ascending code; and what a step
    along each of the ``d + 1`` directions adds to a code."""
    d = features.shape[1]
    ranks = torch.arange(d + 1, device=features.device)
    # onto the plane of zero sum, so that spreading, blurring and reading
    # together have a variance of 1
    basis = features.new_ones(d, d + 1).tril()
    basis[ranks[:d], ranks[1:]] = -ranks[1:].to(basis)
    basis *= (d + 1) * math.sqrt(2 / 3) / basis.norm(dim=1, keepdim=True)
    points = (features[:, :, None] * basis).sum(dim=1)

    # the nearest vertex whose coordinates are multiples of d + 1; the order
    # of the differences from it tells the simplex
    nearest = (points / (d + 1)).round().long()
    offset = points / (d + 1) - nearest
    rank = offset.argsort(dim=1, descending=True).argsort(dim=1)
    rank += nearest.sum(dim=1, keepdim=True)
    wrap = (rank < 0).long() - (rank > d).long()
    nearest += wrap
    offset -= wrap
    rank += wrap * (d + 1)
    ascending = torch.empty_like(offset).scatter_(1, d - rank, offset)
    weights = ascending.diff(dim=1, prepend=ascending[:, -1:] - 1)

    # the last coordinate follows from the others; from corner to corner it is
    # one step, the first along the direction with the smallest offset
    nearest = nearest[:, :d] * (d + 1)
    extent = nearest.amax(dim=0) - nearest.amin(dim=0) + 4 * (d + 1)
    strides = torch.cat([extent.new_ones(1), extent.cumprod(dim=0)])
    strides[d] = 0
    steps = strides.sum() - (d + 1) * strides
    taken = torch.zeros_like(rank).scatter_(1, d - rank, steps.expand_as(rank))
    first = (nearest * strides[:d]).sum(dim=1, keepdim=True)
    codes = torch.cat([first, first + taken.cumsum(dim=1)[:, :d]], dim=1)
    codes, order = codes.sort(dim=1)
    return codes, weights.gather(1, order), steps


def blur_matrix(vertices: Tensor, step: Tensor) -> Tensor:
    """A quarter of both neighbors in a direction and half of the vertex."""
    step = step.abs()
    index = torch.arange(len(vertices), device=vertices.device)
    following = torch.searchsorted(vertices, vertices + step)
    following.clamp_(max=len(vertices) - 1)
    found = vertices[following] == vertices + step
    previous = torch.full_like(index, -1)
    previous[following[found]] = index[found]
    following[~found] = -1
    columns = torch.stack([previous, index, following], dim=1)
    kept = columns >= 0
    weights = torch.tensor([.25, .5, .25], device=index.device)
    return csr_matrix(
        kept.sum(dim=1), columns[kept],
        weights.expand(len(index), 3)[kept], len(index))


def csr_matrix(counts: Tensor, columns: Tensor, values: Tensor,
               num_columns: int) -> Tensor:
    """A sparse matrix of rows with ``counts`` entries each."""
    rows = torch.cat([counts.new_zeros(1), counts.cumsum(dim=0)])
    return torch.sparse_csr_tensor(
        rows.int(),
        columns.int(),
        values, (len(counts), num_columns),
        check_invariants=False)
