# Copyright (c) mmbombo contributors.
"""``DenseCRF`` against mean field with all N x N pairs, in NumPy."""
import numpy as np
import pytest
import torch

from mmbombo.utils import UserError
from mmbombo.weak_labels.crf import (CRF_PRESETS, CRFParams, DenseCRF,
                                     crf_params)


def softmax(scores):
    scores = np.exp(scores - scores.max(axis=0))
    return scores / scores.sum(axis=0)


def normalized_kernel(features):
    distances = ((features[:, None] - features[None])**2).sum(axis=-1)
    kernel = np.exp(-distances / 2)
    degrees = kernel.sum(axis=1)
    return kernel / np.sqrt(degrees[:, None] * degrees[None])


def exact_mean_field(image, unary, params):
    """Probabilities ``(C, H, W)``, float64, with every pair of pixels."""
    classes, height, width = unary.shape
    y, x = np.mgrid[:height, :width]
    places = np.stack([x, y], axis=-1).reshape(-1, 2)
    colors = image.reshape(3, -1).T
    gaussian = normalized_kernel(places / params.gaussian_sxy)
    bilateral = normalized_kernel(
        np.concatenate(
            [places / params.bilateral_sxy, colors / params.bilateral_srgb],
            1))
    kernel = (
        params.gaussian_compat * gaussian +
        params.bilateral_compat * bilateral)
    scores = -unary.reshape(classes, -1)
    probs = softmax(scores)
    for _ in range(params.iterations):
        probs = softmax(scores + probs @ kernel)
    return probs.reshape(unary.shape)


def photograph(seed, height=40, width=48):
    """Shaded, noisy regions, and the region of each pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    centers = rng.uniform(0, height, (4, 2))
    distances = np.hypot(y[..., None] - centers[:, 0],
                         x[..., None] - centers[:, 1])
    regions = distances.argmin(axis=-1)
    colors = rng.uniform(40, 210, (4, 3))
    image = colors[regions] + (x + y)[..., None] * .4
    image += rng.normal(0, 6, image.shape)
    return image.clip(0, 255).transpose(2, 0, 1), regions


def noisy_energies(regions, seed, classes=4):
    rng = np.random.default_rng(seed)
    scores = 1.5 * np.eye(classes)[regions].transpose(2, 0, 1)
    scores += rng.normal(0, 1, scores.shape)
    return -np.log(softmax(scores))


def run_crf(image, unary, params):
    crf = DenseCRF(torch.from_numpy(image), params)
    return crf(torch.from_numpy(unary)).numpy()


@pytest.mark.parametrize('preset', sorted(CRF_PRESETS))
@pytest.mark.parametrize('seed', range(3))
def test_agrees_with_exact_mean_field(preset, seed):
    image, regions = photograph(seed)
    unary = noisy_energies(regions, seed)
    expected = exact_mean_field(image, unary, CRF_PRESETS[preset])
    result = run_crf(image, unary, preset)
    changed = expected.argmax(axis=0) != unary.argmin(axis=0)
    assert changed.mean() > .1
    assert (result.argmax(axis=0) == expected.argmax(axis=0)).mean() >= .97
    assert np.abs(result - expected).mean() < .02


def test_gaussian_kernel_alone_is_exact():
    image, regions = photograph(0)
    unary = noisy_energies(regions, 0)
    params = CRFParams(3, 3, 80, 13, 0)
    expected = exact_mean_field(image, unary, params)
    np.testing.assert_allclose(
        run_crf(image, unary, params), expected, atol=2e-3)


def test_snaps_to_the_edge_of_colors():
    image = np.zeros((3, 24, 24))
    image[:, :, 13:] = 200
    unary = np.full((2, 24, 24), .7)
    unary[0, :, :10] = .3
    unary[1, :, 15:] = .3
    labels = run_crf(image, unary, 'rrm_infer').argmax(axis=0)
    assert (labels == (image[0] > 0)).all()


def test_sure_labels_of_a_constant_image_stay():
    unary = np.full((2, 30, 30), 9.)
    unary[0, :, :15] = unary[1, :, 15:] = 0
    labels = run_crf(np.full((3, 30, 30), 7), unary, 'aux_sal').argmax(axis=0)
    np.testing.assert_array_equal(labels, unary.argmin(axis=0))


def test_no_iterations_give_the_softmax():
    image, regions = photograph(0)
    unary = noisy_energies(regions, 0)
    result = run_crf(image, unary, CRFParams(3, 3, 80, 13, 10, iterations=0))
    np.testing.assert_allclose(result, np.exp(-unary), rtol=1e-4)


def test_order_of_classes_and_flip():
    image, regions = photograph(1)
    unary = noisy_energies(regions, 1)
    result = run_crf(image, unary, 'rrm_label')
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(
        run_crf(image, unary[order], 'rrm_label'), result[order], atol=1e-4)
    flipped = run_crf(image[..., ::-1].copy(), unary[..., ::-1].copy(),
                      'rrm_label')[..., ::-1]
    same = flipped.argmax(axis=0) == result.argmax(axis=0)
    assert same.mean() > .97


@pytest.mark.parametrize('classes, size', [(1, (9, 7)), (3, (1, 1)),
                                           (2, (1, 40)), (21, (2, 3))])
def test_small_images_and_one_class(classes, size):
    image = torch.randint(256, (3, *size), dtype=torch.uint8)
    probs = DenseCRF(image, 'rrm_infer')(torch.rand(classes, *size))
    assert probs.shape == (classes, *size)
    torch.testing.assert_close(probs.sum(dim=0), torch.ones(size))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_and_excluded_classes(dtype):
    image, regions = photograph(2)
    unary = torch.from_numpy(noisy_energies(regions, 2)).to(dtype)
    crf = DenseCRF(torch.from_numpy(image).to(dtype), 'rrm_infer')
    expected = crf(unary.float())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        result = crf(unary)
    assert result.dtype == torch.float32 and not result.requires_grad
    torch.testing.assert_close(result, expected)
    unary[:, 3, 3] = float('inf')
    unary[1] = float('inf')
    result = crf(unary)
    assert result.isfinite().all()
    assert (result[1] == 0).sum() >= result[1].numel() - 1


@pytest.mark.parametrize('params', [
    'rrm', None, 3,
    dict(gaussian_sxy=3),
    dict(
        gaussian_sxy=0,
        gaussian_compat=3,
        bilateral_sxy=80,
        bilateral_srgb=13,
        bilateral_compat=10)
])
def test_wrong_parameters(params):
    with pytest.raises(UserError, match='crf=.* rrm_infer.*bilateral_srgb'):
        crf_params(params)
