# Copyright (c) mmbombo contributors.
"""A segmentor that labels regions, and learns from pixels."""
import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmbombo.registry import MODELS
from mmbombo.structures.regions import Regions
from mmbombo.utils import UserError

SIZE = (48, 64)
CLASSES = 3


def polygons(seed, size=SIZE):
    """An image of two triangles of other classes on a background, and ids."""
    rng = np.random.default_rng(seed)
    ids = np.zeros(size, np.uint8)
    for number in (1, 2):
        corners = rng.integers(0, size[::-1], (3, 2))
        cv2.fillPoly(ids, [corners.astype(np.int32)], number)
    image = 60 * ids[..., None] + rng.normal(60, 10, (*size, 3))
    return torch.from_numpy(image).permute(
        2, 0, 1).float(), torch.from_numpy(ids).long()


def regions_for(ids):
    """Cells of a grid cut by the mask; regions are cells, those of a class,
    and all."""
    rows, columns = (torch.arange(side) // 16 for side in ids.shape)
    cells = (rows[:, None] * 100 + columns) * 10 + ids
    numbers = cells.unique(return_inverse=True)[1]
    count = int(numbers.max()) + 1
    groups = [[i] for i in range(count)] + [list(range(count))]
    groups += [numbers[ids == k].unique().tolist() for k in ids.unique()]
    pairs = torch.tensor([(r, s) for r, group in enumerate(groups)
                          for s in group]).T
    places = [
        torch.isin(numbers, torch.tensor(group)).nonzero() for group in groups
    ]
    bboxes = [
        torch.cat([p.amin(0).flip(0), p.amax(0).flip(0) + 1]) for p in places
    ]
    return Regions(
        bboxes=torch.stack(bboxes).float(), pairs=pairs, superpixels=numbers)


def sample_of(ids, regions=None, ori_shape=None):
    sample = SegDataSample(
        metainfo=dict(
            img_path='a.jpg',
            img_shape=tuple(ids.shape),
            ori_shape=ori_shape or tuple(ids.shape)))
    sample.gt_sem_seg = PixelData(data=ids[None])
    sample.regions = regions_for(ids) if regions is None else regions
    return sample


def batch(number=2):
    images, ids = zip(*(polygons(seed) for seed in range(number)))
    return dict(inputs=list(images), data_samples=[sample_of(x) for x in ids])


def build(**head):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='RegionSegmentor',
            data_preprocessor=dict(
                type='mmseg.SegDataPreProcessor',
                mean=[120.] * 3,
                std=[60.] * 3,
                size_divisor=32),
            backbone=dict(
                type='mmdet.ResNet',
                depth=18,
                base_channels=8,
                num_stages=2,
                strides=(1, 2),
                dilations=(1, 1),
                out_indices=(0, 1),
                zero_init_residual=False),
            decode_head=dict(
                dict(
                    type='RegionHead',
                    num_classes=CLASSES,
                    in_channels=16,
                    stride=8,
                    fc_channels=32,
                    output_size=3,
                    dropout_ratio=0.), **head)))
    model.init_weights()
    return model


def losses_of(model, data):
    data = model.data_preprocessor(data, training=True)
    return model(**data, mode='loss')


@pytest.mark.parametrize('pooling',
                         ['box', 'fg', 'grouped', 'separate', 'shared_sum'])
@pytest.mark.parametrize('decay', [0., .5])
def test_everything_learns(pooling, decay):
    model = build(pooling=pooling, decay=decay)
    losses = losses_of(model, batch())
    assert list(losses) == ['decode.loss_ce']
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.any() for p in model.parameters())


def test_loss_is_the_mean_over_images_without_padding():
    model = build().eval()
    data = batch()
    small = polygons(5, (20, 40))
    data['inputs'].append(small[0])
    data['data_samples'].append(sample_of(small[1]))
    both = model.data_preprocessor(data, training=True)
    feats = model.extract_feat(both['inputs'])
    loss = model.decode_head.loss(feats, both['data_samples'])['loss_ce']
    logits = model.decode_head(feats, both['data_samples'], whole_image=False)
    assert logits[2].shape == (CLASSES, 20, 40)
    expected = [
        torch.nn.functional.cross_entropy(
            x[None], sample.gt_sem_seg.data[:, :x.size(1), :x.size(2)])
        for x, sample in zip(logits, both['data_samples'])
    ]
    assert loss.item() == pytest.approx(sum(expected).item() / 3)


@torch.no_grad()
def test_the_batch_changes_nothing():
    """An image alone, and beside a larger one; cells see no neighbors."""
    model = build().eval()
    model.backbone = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 1), torch.nn.AvgPool2d(8))
    model.extract_feat = lambda x: (model.backbone(x), )
    image, ids = polygons(0, (40, 52))
    large, large_ids = polygons(1, (100, 90))
    found = []
    for images, masks in ([image], [ids]), ([image, large], [ids, large_ids]):
        data = dict(inputs=images, data_samples=[sample_of(x) for x in masks])
        data = model.data_preprocessor(data, training=True)
        found.append(
            model.decode_head(
                model.extract_feat(data['inputs']), data['data_samples'])[0])
    assert torch.allclose(*found, atol=1e-6)


@pytest.mark.parametrize('decay', [0., .5, 1.])
@torch.no_grad()
def test_the_whole_image_is_a_region_once(decay):
    model = build(decay=decay).eval()
    data = model.data_preprocessor(batch(1), training=True)
    feats = model.extract_feat(data['inputs'])
    found = [
        model.decode_head(feats, data['data_samples'], whole_image=x)[0]
        for x in (False, True)
    ]
    assert torch.equal(*found)


@torch.no_grad()
def test_predictions_have_the_size_of_the_file():
    model = build().eval()
    model.data_preprocessor.test_cfg = dict(size_divisor=32)
    image, ids = polygons(0)
    data = model.data_preprocessor(
        dict(inputs=[image], data_samples=[sample_of(ids, None, (30, 50))]))
    pred, = model(**data, mode='predict')
    assert pred.pred_sem_seg.data.shape == (1, 30, 50)
    assert pred.seg_logits.data.shape == (CLASSES, 30, 50)
    logits = model(**data)
    assert logits.shape == (1, CLASSES, 64, 64)
    # 48 rows of the image, and padding
    assert logits[:, :, :48].any() and not logits[:, :, 48:].any()


@torch.no_grad()
def test_augmentation_in_testing():
    model = build().eval()
    image, ids = polygons(0)
    tta = MODELS.build(dict(type='mmseg.SegTTAModel', module=model))
    merged, = tta.test_step(
        dict(
            inputs=[[image]] * 2,
            data_samples=[[sample_of(ids)] for _ in range(2)]))
    alone, = model.test_step(
        dict(inputs=[image], data_samples=[sample_of(ids)]))
    assert torch.equal(merged.pred_sem_seg.data, alone.pred_sem_seg.data)


def without_some(regions):
    """Only regions of the first superpixel; some pixels are in none."""
    keep = regions.pairs[:, regions.pairs[1] == 0]
    regions.superpixels[-4:] = -1
    regions.pairs = keep[:, :1] * torch.tensor([[0], [1]])
    regions.bboxes = regions.bboxes[keep[0, :1]]
    return regions


def test_image_covered_in_part():
    model = build()
    image, ids = polygons(0)
    regions = without_some(regions_for(ids))
    covered = regions.superpixels == 0
    data = dict(inputs=[image], data_samples=[sample_of(ids, regions)])
    data = model.data_preprocessor(data, training=True)
    feats = model.extract_feat(data['inputs'])
    alone, = model.decode_head(feats, data['data_samples'], whole_image=False)
    assert (alone[:, ~covered] == alone[:, covered].min()).all()
    # in prediction the whole image is a region
    whole, = model.decode_head(feats, data['data_samples'])
    assert (whole[:, ~covered] == whole[:, ~covered][:, :1]).all()
    assert len(whole[:, ~covered][:, 0].unique()) == CLASSES
    assert (whole[:, covered] >= alone[:, covered] - 1e-6).all()


def test_no_region():
    model = build()
    image, ids = polygons(0)
    none = Regions(
        bboxes=torch.zeros(0, 4),
        pairs=torch.zeros(2, 0, dtype=torch.long),
        superpixels=torch.full(SIZE, -1))
    data = dict(inputs=[image], data_samples=[sample_of(ids, none)])
    loss, _ = model.parse_losses(losses_of(model, data))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(CLASSES))
    assert not any(p.grad.any() for p in model.parameters())
    data = model.eval().data_preprocessor(data)
    logits = model(**data).detach()
    assert (logits == logits[:, :, :1, :1]).all() and logits.isfinite().all()


def test_image_without_labels():
    model = build()
    data = batch(1)
    data['data_samples'][0].gt_sem_seg.data.fill_(255)
    loss, _ = model.parse_losses(losses_of(model, data))
    loss.backward()
    assert loss == 0 and not any(p.grad.any() for p in model.parameters())


def test_chunks_change_nothing():
    grads = []
    for chunk_size in (2000, 3):
        model = build(chunk_size=chunk_size)
        loss, _ = model.parse_losses(losses_of(model, batch()))
        loss.backward()
        grads.append([p.grad for p in model.parameters()])
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(*grads))


def test_ten_thousand_regions():
    """Features of 500 regions at a time: the others are only boxes."""
    model = build(chunk_size=500).eval()
    seen = []
    model.decode_head.pool.register_forward_hook(
        lambda module, args, output: seen.append(len(output)))
    image, ids = polygons(0)
    regions = regions_for(ids)
    number = regions.num_superpixels
    regions.bboxes = regions.bboxes[:1].repeat(10000, 1)
    regions.pairs = torch.stack(
        [torch.arange(10000),
         torch.arange(10000) % number])
    data = model.data_preprocessor(
        dict(inputs=[image], data_samples=[sample_of(ids, regions)]),
        training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    # forward, and again for the gradient
    assert loss.isfinite() and seen == [500] * 40


def test_mistakes_are_named():
    model = build()
    data = batch(1)
    data['data_samples'][0].regions = regions_for(polygons(0, (10, 10))[1])
    with pytest.raises(UserError, match=r'regions of a.jpg.*\(10, 10\)'):
        losses_of(model, data)
    data = batch(1)
    del data['data_samples'][0].regions
    with pytest.raises(UserError, match='a.jpg has no regions'):
        losses_of(model, data)
    with pytest.raises(UserError, match='an image has no regions'):
        model(torch.zeros(1, 3, *SIZE))
    for stride in (4, 16):
        with pytest.raises(UserError, match=f'stride={stride} is not that'):
            losses_of(build(stride=stride), batch(1))


@pytest.mark.parametrize('pooling', ['box', 'grouped', 'separate'])
def test_starts_from_vgg16(tmp_path, pooling):
    weights = {
        'classifier.0.weight': torch.randn(8, 16 * 9),
        'classifier.0.bias': torch.randn(8),
        'classifier.3.weight': torch.randn(8, 8),
        'classifier.3.bias': torch.randn(8)
    }
    torch.save(weights, tmp_path / 'vgg16.pth')
    head = build(
        pooling=pooling, fc_channels=8,
        vgg16=str(tmp_path / 'vgg16.pth')).decode_head
    pooled = torch.rand(5, 16 * 9)
    first = torch.nn.functional.linear(pooled, weights['classifier.0.weight'],
                                       weights['classifier.0.bias'])
    second = torch.nn.functional.linear(first, weights['classifier.3.weight'],
                                        weights['classifier.3.bias'])
    # of equal halves: the same again, or the halves of the same layer
    ours = torch.cat([fc(pooled) for fc in head.fc6], 1)
    if pooling == 'separate':
        assert torch.allclose(ours, first.repeat(1, 2))
        bias = weights['classifier.3.bias']
        second = (2 * (second - bias) + bias).repeat(1, 2)
    else:
        assert torch.allclose(ours, first)
    assert torch.allclose(head.fc7(ours), second, atol=1e-5)
    assert head.fc8.weight.std() < .02


def test_learns_polygons_by_heart():
    torch.manual_seed(0)
    model = build(pooling='separate')
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    data = model.data_preprocessor(batch(6), training=True)
    for _ in range(50):
        optimizer.zero_grad()
        loss, _ = model.parse_losses(model(**data, mode='loss'))
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        preds = model(**data, mode='predict')
    right = [(x.pred_sem_seg.data == x.gt_sem_seg.data[:, :48]).float().mean()
             for x in preds]
    assert sum(right) / 6 > .95
