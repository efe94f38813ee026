# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch

from mmbombo.weak_labels.cam import mean_cam, normalize_cam
from mmbombo.weak_labels.reliable_regions import reliable_regions

EMPTY = 255


def no_crf(unary):
    """Each pixel by itself."""
    return torch.exp(-unary) / torch.exp(-unary).sum(-3, keepdim=True)


def normalized(*maps):
    return normalize_cam(torch.tensor(maps, dtype=torch.float)[:, None])


def regions(*maps):
    return reliable_regions(normalized(*maps), no_crf)[0].tolist()


def published(cam, crf):
    """The published code, pixel by pixel; two CRFs in, labels out."""
    rest = 1 - cam.max(0)
    low, high = np.asarray(crf(-torch.as_tensor(np.stack([
        np.concatenate([rest[None]**power, cam])
        for power in (4, 32)])).clamp(min=1e-5).log()))
    cam_img = np.concatenate([rest[None]**32, cam]).argmax(0)
    labels = np.full(rest.shape, EMPTY)
    for place in np.ndindex(rest.shape):
        if low[:, *place].argmax() > 0:
            labels[place] = low[:, *place].argmax()
        if high[:, *place].argmax() == 0:
            labels[place] = 0
        k = cam_img[place]
        if k not in low.argmax(0):
            sure = False
        elif k == 0:
            sure = rest[place]**32 > .8
        else:
            values = sorted(cam[k - 1][(cam_img == k) & (cam[k - 1] > .1)])
            sure = bool(values) and (
                cam[k - 1][place] > values[int(.6 * len(values))])
        confidence = max(high[0][place], low[1:, *place].max())
        if not sure or confidence < .8:
            labels[place] = EMPTY
    return labels


def test_no_class_is_background():
    cam = torch.zeros(0, 2, 3)
    assert reliable_regions(cam, None).tolist() == [[0] * 3] * 2


def test_a_class_that_wins_in_the_crf_alone_is_nowhere_reliable():
    # the published code fails: no pixel has the second map as its largest
    cam = torch.tensor([[[1., .9, .8, 0]], [[.5, .4, .3, 0]]])

    def crf(unary):
        return torch.tensor([.05, .05, .9])[:, None, None].expand_as(unary)

    assert reliable_regions(cam, crf).tolist() == [[EMPTY] * 4]


@pytest.mark.parametrize('num_classes', [1, 2, 4])
@pytest.mark.parametrize('seed', range(5))
def test_as_published(num_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    cam = torch.rand(num_classes, 9, 11, generator=generator)**8
    cam = cam / cam.amax((1, 2), keepdim=True).clamp(min=1e-5)

    def crf(unary):  # some smoothing
        probs = no_crf(unary)
        around = torch.nn.functional.avg_pool2d(probs, 3, 1, 1)
        return .9 * probs + .1 * around

    wanted = published(cam.double().numpy(), crf)
    found = reliable_regions(cam.double(), crf).numpy()
    assert np.array_equal(found, wanted)
    assert (found != EMPTY).any()


def test_maps_are_normalized_class_by_class():
    maps = torch.tensor([[[0., 1, 4]], [[0, 0, 0]]])
    wanted = torch.tensor([[[0, .25, 1]], [[0, 0, 0]]])
    torch.testing.assert_close(normalize_cam(maps), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_the_mean_of_scales_counts_what_speaks_for_a_class(dtype):
    maps = [torch.tensor([[[[-8., 2.]]]]), torch.tensor([[[[4.]]]])]
    found = mean_cam([x.to(dtype) for x in maps])
    assert found.dtype == torch.float32
    assert found.tolist() == [[[[2., 3.]]]]
