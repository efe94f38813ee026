# Copyright (c) mmbombo contributors.
import numpy as np
import torch

from mmbombo.weak_labels.cam_saliency import fuse_cam_saliency, refine_saliency


def test_truth_table():
    # active, or not, times salient, or not; the thresholds themselves are not
    cam = torch.tensor([[[.21, .21, .2, .2], [.1, .9, .3, .0]],
                        [[.1, .1, .1, .1], [.3, .8, .31, .0]]])
    saliency = torch.tensor([[.061, .06, .061, .06], [.9, .1, .5, .0]])
    found = fuse_cam_saliency(cam, saliency, torch.tensor([1, 1]))
    assert found.tolist() == [[1, 255, 255, 0], [2, 1, 2, 0]]
    found = fuse_cam_saliency(
        cam, saliency, torch.tensor([1, 1]), .3, saliency_threshold=.4)
    assert found.tolist() == [[0, 0, 0, 0], [255, 255, 2, 0]]


def test_an_absent_class_has_no_pixel():
    torch.manual_seed(0)
    cam, saliency = torch.rand(3, 20, 20), torch.rand(20, 20)
    found = fuse_cam_saliency(cam, saliency, torch.tensor([0, 1, 1]))
    assert set(found.unique().tolist()) == {0, 2, 3, 255}
    # none is active without a tag
    found = fuse_cam_saliency(cam, saliency, torch.zeros(3))
    assert torch.equal(found == 0, saliency <= .06)
    assert (found[saliency > .06] == 255).all()


def test_nothing_is_known_where_saliency_or_the_tag_is_not():
    cam = torch.tensor([[[.9, .9, .1]], [[.1, .1, .1]]])
    saliency = torch.tensor([[.9, -1., -1.]])
    assert fuse_cam_saliency(cam, saliency,
                             torch.tensor([1, 0])).tolist() == [[1, 255, 255]]
    saliency = torch.tensor([[.9, .0, .0]])
    assert fuse_cam_saliency(cam, saliency,
                             torch.tensor([-1, 1])).tolist() == [[255, 255, 0]]


def test_energies_of_the_published_code():
    saliency = torch.tensor([[.0, .3, 1.]])
    seen = []

    def crf(energies):
        seen.append(energies)
        return torch.stack([energies[0] * 0, energies[0] * 0 + 7])

    assert (refine_saliency(saliency, crf) == 7).all()
    p = np.array([.0, .3, 1.])
    for energy, x in zip(seen[0][:, 0].double().numpy(), (1 - p, p)):
        wanted = -np.log(x + 1e-8) / (1.05 / (1 + np.exp(-x)))
        np.testing.assert_allclose(energy, wanted, rtol=1e-4, atol=1e-6)
