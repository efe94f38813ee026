# Copyright (c) mmbombo contributors.
"""Pooling in regions of any shape."""
import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from mmbombo.models.layers import FreeformRoIPool, bin_masks, roi_max_pool
from mmbombo.models.layers.freeform_roi_pool import _bins
from mmbombo.structures.regions import Regions
from mmbombo.utils import UserError


def regions_of_masks(masks, numbers, bboxes=None):
    """Regions of masks (R, H, W) that are unions of superpixels."""
    pairs = sorted({(r, int(numbers[y, x]))
                    for r, y, x in masks.nonzero().tolist()})
    if bboxes is None:
        bboxes = []
        for mask in masks:
            y, x = mask.nonzero().T
            bboxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
    return Regions(
        bboxes=torch.tensor(bboxes).float().view(-1, 4),
        pairs=torch.tensor(pairs).long().view(-1, 2).T,
        superpixels=numbers)


def random_regions(seed, size=(23, 31), number=8):
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.arange(size[0])[:, None] // 4 * 100 + torch.arange(
        size[1]) // 5
    numbers = blocks.unique(return_inverse=True)[1]
    chosen = torch.rand(
        number, int(numbers.max()) + 1, generator=generator) < .2
    chosen[:, 3] = True
    masks = chosen[:, numbers]
    return masks, regions_of_masks(masks, numbers)


def bins_by_loops(low, high, count, cells, stride):
    """First and last cell of the bins from the first to the last pixel."""
    scale = Fraction(cells - 1, cells * stride - 1)
    low, high = Fraction(low) * scale, Fraction(high - 1) * scale
    step = (high - low) / count
    return [(math.floor(low + i * step),
             min(math.ceil(low + (i + 1) * step), cells - 1))
            for i in range(count)]


def bins(edges, count, cells, stride):
    first, last_window, level = _bins(edges, count, cells, stride)
    return torch.stack([first, last_window + 2**level - 1], 2).tolist()


def test_published_bins():
    # pixels 33 to 96 of 160, counted from 1
    assert bins(torch.tensor([[32., 96.]]), 7, 10, 16) == [[[1, 3], [2, 3],
                                                            [2, 4], [3, 4],
                                                            [3, 5], [4, 5],
                                                            [4, 6]]]


@pytest.mark.parametrize('cells, stride', [(16, 16), (38, 16), (40, 8)])
def test_bins_of_whole_pixels_are_exact(cells, stride):
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(
        cells * stride, (1500, 2), generator=generator).sort(1)[0]
    edges[:, 1] += 1
    expected = [[[*x] for x in bins_by_loops(*pair, 7, cells, stride)]
                for pair in edges.tolist()]
    assert bins(edges.float(), 7, cells, stride) == expected


@pytest.mark.parametrize('size', [1, 3, 7])
def test_maxima_as_by_loops(size):
    torch.manual_seed(0)
    feat = torch.randn(3, 9, 14, dtype=torch.double, requires_grad=True)
    corner = torch.rand(20, 2) * torch.tensor([40., 20.])
    bboxes = torch.cat([corner, corner + 1 + torch.rand(20, 2) * 15], 1)
    bboxes[0] = torch.tensor([0, 0, 56, 36])
    bboxes[1] = torch.tensor([55, 35, 56, 36])
    pooled = roi_max_pool(feat, bboxes, size, stride=4)
    expected = torch.stack([
        torch.stack([
            torch.stack([
                feat[:, top:bottom + 1, left:right + 1].flatten(1).amax(1)
                for left, right in bins_by_loops(x1, x2, size, 14, 4)
            ], 1) for top, bottom in bins_by_loops(y1, y2, size, 9, 4)
        ], 1) for x1, y1, x2, y2 in bboxes.tolist()
    ])
    assert torch.equal(pooled, expected)
    up = torch.randn_like(pooled)
    assert torch.allclose(*(torch.autograd.grad(x, feat, up)[0]
                            for x in (pooled, expected)))


def test_first_of_equal_cells_learns():
    feat = torch.ones(1, 4, 4, requires_grad=True)
    roi_max_pool(feat, torch.tensor([[0., 0., 32., 32.]]), 1,
                 8).backward(torch.ones(1, 1, 1, 1))
    assert feat.grad.flatten().tolist() == [1] + [0] * 15


def test_boxes_outside_and_no_boxes():
    feat = torch.randn(2, 4, 4, requires_grad=True)
    bboxes = torch.tensor([[-90., -50., -20., -8.], [40., 40., 99., 99.]])
    pooled = roi_max_pool(feat, bboxes, 2, 8)
    assert torch.equal(pooled[0], feat[:, :1, :1].expand(2, 2, 2))
    assert torch.equal(pooled[1], feat[:, -1:, -1:].expand(2, 2, 2))
    none = roi_max_pool(feat, bboxes[:0], 2, 8)
    assert none.shape == (0, 2, 2, 2)
    none.sum().backward()
    assert not feat.grad.any()


@pytest.mark.parametrize('size', [1, 2, 7])
@pytest.mark.parametrize('seed', range(3))
def test_masks_are_resized_without_smoothing(seed, size):
    masks, regions = random_regions(seed)
    for mask, box, ours in zip(masks,
                               regions.bboxes.long().tolist(),
                               bin_masks(regions, size)):
        x1, y1, x2, y2 = box
        resized = F.interpolate(
            mask[None, None, y1:y2, x1:x2].double(), (size, size),
            mode='bilinear',
            align_corners=False)[0, 0]
        assert torch.equal(ours, resized > 1e-9)


def test_mask_golden():
    numbers = torch.arange(8).expand(8, 8)
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[:, :, 3] = True
    regions = regions_of_masks(masks, numbers, [[0, 0, 8, 8]])
    # centers are at .5, 2.5, 4.5 and 6.5 of columns that begin at 0
    assert bin_masks(regions, 4)[0, 0].tolist() == [False, True, False, False]
    # and at 0, 3, 6 of 9 columns, on pixels
    numbers = torch.arange(9).expand(9, 9)
    masks = torch.zeros(1, 9, 9, dtype=torch.bool)
    masks[:, :, 3] = True
    regions = regions_of_masks(masks, numbers, [[0, 0, 9, 9]])
    assert not bin_masks(regions, 3).any()


def test_pixels_without_superpixel_are_in_no_region():
    numbers = torch.tensor([[0, -1], [0, -1]])
    masks = numbers[None] == 0
    regions = regions_of_masks(masks, numbers, [[0, 0, 2, 2]])
    assert bin_masks(regions, 2)[0].tolist() == [[True, False]] * 2


def test_modes():
    _, regions = random_regions(0)
    feat = torch.randn(3, 3, 4)
    masks = bin_masks(regions, 4)
    assert 0 < masks.sum() < masks.numel()
    pooled = {
        mode: FreeformRoIPool(4, 8, mode)(feat, regions.bboxes, masks)
        for mode in ('box', 'fg', 'grouped', 'separate', 'shared_sum')
    }
    box, fg = pooled['box'], pooled['fg']
    assert torch.equal(box, roi_max_pool(feat, regions.bboxes, 4, 8))
    assert torch.equal(fg, box.where(masks[:, None], 0.))
    assert torch.equal(pooled['separate'], torch.cat([fg, box], 1))
    assert torch.equal(pooled['grouped'], pooled['separate'])
    assert torch.equal(pooled['shared_sum'], fg + box)
    full, empty = (
        FreeformRoIPool(4, 8, 'fg')(feat, regions.bboxes, x)
        for x in (torch.ones_like(masks), torch.zeros_like(masks)))
    assert torch.equal(full, box) and not empty.any()
    with pytest.raises(UserError, match='mode of FreeformRoIPool'):
        FreeformRoIPool(4, 8, 'both')


def test_gradient_through_a_mask():
    _, regions = random_regions(1, number=3)
    masks = bin_masks(regions, 2)
    pool = FreeformRoIPool(2, 8, 'separate')
    feat = torch.randn(2, 3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: pool(x, regions.bboxes, masks),
                                    feat)
