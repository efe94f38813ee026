# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch

from mmbombo.weak_labels.permutohedral_lattice import PermutohedralLattice


def bilateral_features(sxy=20., srgb=15.):
    """A noisy image of 48 x 40 pixels: shading, and a disk on it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :40].astype(np.float32)
    image = np.stack([60 + x, 90 + y, 120 + 0 * x], axis=-1)
    image[(x - 20)**2 + (y - 20)**2 < 150] = (180, 80, 40)
    image += rng.normal(0, 6, image.shape)
    features = np.stack([x / sxy, y / sxy, *(image / srgb).transpose(2, 0, 1)],
                        axis=-1)
    return torch.from_numpy(features.reshape(-1, 5)).float()


def exact_filter(features, values):
    distances = torch.cdist(features.double(), features.double())
    return (-distances**2 / 2).exp() @ values.double()


def relative_error(result, expected):
    return float((result - expected).norm() / expected.norm())


@pytest.mark.parametrize('sxy, srgb', [(20, 15), (10, 8), (40, 30)])
def test_close_to_the_exact_filter(sxy, srgb):
    features = bilateral_features(sxy, srgb)
    values = torch.rand(len(features), 4)
    result = PermutohedralLattice(features).filter(values)
    assert relative_error(result, exact_filter(features, values)) < 0.15


def test_any_number_of_features():
    features = torch.rand(900, 2) * 8
    values = torch.rand(900, 3)
    result = PermutohedralLattice(features).filter(values)
    assert np.corrcoef(result.flatten(),
                       exact_filter(features, values).flatten())[0, 1] > 0.98


def test_symmetric_and_linear():
    features = bilateral_features()
    lattice = PermutohedralLattice(features)
    a, b = torch.rand(2, len(features), 1)
    torch.testing.assert_close((lattice.filter(a) * b).sum(),
                               (lattice.filter(b) * a).sum())
    torch.testing.assert_close(
        lattice.filter(torch.cat([a, 2 * b], dim=1)),
        torch.cat([lattice.filter(a), 2 * lattice.filter(b)], dim=1))


def test_far_points_do_not_meet():
    features = torch.zeros(6, 5)
    features[3:] = 20
    result = PermutohedralLattice(features).filter(torch.eye(6))
    assert (result[:3, :3] > 0.3).all()
    assert (result[:3, 3:] == 0).all()


def test_one_point_and_half_precision():
    lattice = PermutohedralLattice(torch.rand(1, 5).bfloat16())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        result = lattice.filter(torch.ones(1, 2, dtype=torch.bfloat16))
    assert result.dtype == torch.float32
    assert (result > 0.3).all()
