# Copyright (c) mmbombo contributors.
"""OANet on a small network: what it learns from, and what it answers."""
import copy
from pathlib import Path

import pytest
import torch
from mmdet.models import HeuristicFusionHead
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData

from mmbombo.models import SpatialRankingFusionHead
from mmbombo.models.layers import at_cells
from mmbombo.registry import MODELS
from mmbombo.utils import UserError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'oanet'
SIZE = 64
THINGS, STUFF = 3, 2


def small_cfg():
    """The light config, thin, with three classes of things and two of
    stuff."""
    cfg = Config.fromfile(CONFIGS / 'oanet_mobilenetv2_fpn_photo-stamps.py')
    model = cfg.model
    model.backbone.init_cfg = None
    model.backbone.widen_factor = .25
    model.neck.in_channels = [8, 8, 24, 1280]
    model.neck.norm_cfg = None
    model.backbone.norm_eval = True
    numbers = dict(num_things_classes=THINGS, num_stuff_classes=STUFF)
    model.roi_head.bbox_head.num_classes = THINGS
    model.roi_head.mask_head.num_classes = THINGS
    model.semantic_head.update(numbers)
    model.panoptic_fusion_head.update(numbers)
    # something is found without training, too
    model.test_cfg.rcnn.update(score_thr=0., max_per_img=60)
    model.test_cfg.rcnn.nms.update(iou_threshold=.9, class_agnostic=False)
    return model


def build(train_source='gt', share='rpn_conv', **fusion):
    torch.manual_seed(0)
    cfg = small_cfg()
    cfg.semantic_head.share = share
    cfg.panoptic_fusion_head.update(train_source=train_source, **fusion)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def make_sample(boxes, labels=None, seed=0):
    """An image of boxes, the later ones on top, on stuff."""
    labels = torch.arange(len(boxes)) % THINGS if labels is None else labels
    masks = torch.zeros(len(boxes), SIZE, SIZE, dtype=torch.uint8)
    seg = torch.full((1, SIZE, SIZE), THINGS)
    for mask, label, (x1, y1, x2, y2) in zip(masks, labels, boxes):
        mask[y1:y2, x1:x2] = 1
        seg[:, y1:y2, x1:x2] = label
    sample = DetDataSample(
        metainfo=dict(
            img_id=seed,
            img_shape=(SIZE, SIZE),
            ori_shape=(SIZE // 2, SIZE // 2),
            batch_input_shape=(SIZE, SIZE),
            pad_shape=(SIZE, SIZE),
            scale_factor=(2., 2.)))
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor(boxes).float().view(-1, 4),
        labels=torch.as_tensor(labels, dtype=torch.long),
        masks=BitmapMasks(masks.numpy(), SIZE, SIZE))
    sample.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    sample.gt_sem_seg = PixelData(sem_seg=seg)
    return sample


OVERLAP = [(4, 4, 40, 40), (20, 20, 60, 60)]
MANY = [(x, y, x + 12, y + 12) for x in range(0, 50, 5)
        for y in range(0, 50, 5)] * 2


def step(model, *samples):
    images = torch.randn(len(samples), 3, SIZE, SIZE)
    losses = model.train()(images, copy.deepcopy(list(samples)), 'loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite()
    return losses


def srm_gradients(model):
    return [p.grad for p in model.panoptic_fusion_head.parameters()]


@pytest.mark.parametrize('share', ['fpn', 'rpn_conv'])
@pytest.mark.parametrize('train_source', ['gt', 'pred'])
def test_all_of_it_learns(train_source, share):
    model = build(train_source, share)
    losses = step(model, make_sample(OVERLAP), make_sample([(0, 0, 9, 9)]))
    assert {
        'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask',
        'loss_seg', 'loss_srm'
    } == {key
          for key in losses if 'loss' in key}
    assert losses['loss_srm'] > 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
    assert all(grad.any() for grad in srm_gradients(model))


@pytest.mark.parametrize('boxes, labels', [
    ([], None),
    (OVERLAP[:1], None),
    (OVERLAP, [1, 1]),
    ([(0, 0, 20, 20), (30, 30, 50, 50)], None),
    ([(0, 0, 20, 20), (80, 80, 90, 90)], None),
])
def test_nothing_to_rank(boxes, labels):
    """No object, one, two of one class, two apart, and one outside."""
    model = build()
    losses = step(model, make_sample(boxes, labels))
    assert losses['loss_srm'] == 0 and losses['srm_cells'] == 0
    assert all(grad is not None and not grad.any()
               for grad in srm_gradients(model))


def test_a_pyramid_of_too_few_levels():
    feats = [torch.zeros(1, 64, 8, 8)] * 4
    with pytest.raises(AssertionError, match='end_level'):
        build().semantic_head(feats)


def test_two_hundred_instances():
    losses = step(build(), make_sample(MANY))
    assert len(MANY) == 200 and losses['loss_srm'] > 0


def test_shared_convolution_runs_once():
    model = build(share='rpn_conv')
    calls = []
    model.rpn_head.rpn_conv.register_forward_hook(
        lambda *args: calls.append(args[-1]))
    seen = []
    model.semantic_head.register_forward_hook(
        lambda module, args, output: seen.extend(args[0]))
    step(model, make_sample(OVERLAP))
    assert len(calls) == len(seen) == 5
    for call, feature in zip(calls, seen):
        torch.testing.assert_close(call.relu(), feature)
    # but for the one of this test
    assert len(model.rpn_head.rpn_conv._forward_hooks) == 1


def test_predicted_masks_on_cells():
    """Pasted small, they are what large ones are at the centers of cells."""
    model = build('pred').eval()
    sample = make_sample(OVERLAP)
    with torch.no_grad():
        feats = model.extract_feat(torch.randn(1, 3, SIZE, SIZE))
        proposals = model.rpn_head.predict(feats, [sample], rescale=False)
        small, = model._instances_at_cells(feats, proposals, (SIZE, SIZE))
        sample.set_metainfo(
            dict(ori_shape=(SIZE, SIZE), scale_factor=(1., 1.)))
        large, = model.roi_head.predict(feats, proposals, [sample])
    assert len(small) == len(large) > 0
    cells = at_cells(large.masks, (SIZE // 4, SIZE // 4))
    # but for half a pixel
    assert (small.masks == cells).float().mean() > .9
    assert (small.masks.mT == cells).float().mean() < .8


def test_prediction_keeps_what_it_is_made_of():
    model = build().eval()
    images = torch.randn(2, 3, SIZE, SIZE)
    samples = [make_sample(OVERLAP), make_sample([])]
    with torch.no_grad():
        found = model(images, copy.deepcopy(samples), 'predict')
        model.panoptic_fusion_head.rank_mode = 'score'
        by_score = model(images, copy.deepcopy(samples), 'predict')
    half = SIZE // 2
    for sample, other in zip(found, by_score):
        instances = sample.pred_instances
        number = len(instances)
        assert instances.masks.shape == (number, half, half) and number > 8
        assert sorted(instances.ranks.tolist()) == list(range(number))
        assert sample.pred_sem_seg.sem_seg.shape == (1, half, half)
        assert sample.pred_sem_seg.data.max() < THINGS + STUFF
        # the same detections in another order
        for key in ('bboxes', 'scores', 'labels', 'masks'):
            assert instances[key].equal(other.pred_instances[key])
        assert other.pred_instances.ranks.tolist() == list(range(number))
        panoptic = sample.pred_panoptic_seg.sem_seg
        assert panoptic.shape == (1, half, half)
        stuff = panoptic[panoptic < 1000]
        assert ((stuff >= THINGS) & (stuff <= THINGS + STUFF)).all()


def test_nothing_found():
    model = build().eval()
    model.roi_head.test_cfg.score_thr = 1.
    with torch.no_grad():
        sample, = model(
            torch.randn(1, 3, SIZE, SIZE), [make_sample([])], 'predict')
    assert not len(sample.pred_instances.ranks)


def detections():
    """A large one, which scores more, and a small one on it."""
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[0, :24, :24] = masks[1, 8:14, 8:20] = masks[2, 26:, 26:] = True
    return InstanceData(
        bboxes=torch.zeros(3, 4),
        masks=masks,
        labels=torch.tensor([0, 1, 1]),
        scores=torch.tensor([.9, .6, .7]))


def fusion_head(cls=SpatialRankingFusionHead, **kwargs):
    return cls(
        num_things_classes=THINGS,
        num_stuff_classes=STUFF,
        test_cfg=Config(dict(mask_overlap=.5, stuff_area_limit=1)),
        **kwargs)


def fuse(head, instances):
    logits = torch.zeros(STUFF, 32, 32)
    return head.predict([instances], [logits])[0].sem_seg[0]


def test_a_tie_on_a_person():
    """By score it is lost."""
    stock = fuse(fusion_head(HeuristicFusionHead), detections())
    by_score = fuse(fusion_head(rank_mode='score'), detections())
    assert by_score.equal(stock)
    assert set(stock.unique().tolist()) == {THINGS, 1000, 2001}
    by_area = fuse(fusion_head(rank_mode='area'), detections())
    assert by_area[10, 10] % 1000 == 1 and by_area[0, 0] % 1000 == 0
    head = fusion_head()
    head.srm.scores = lambda *_: torch.tensor([.2, .9, .5])
    by_rank = fuse(head, detections())
    assert (by_rank % 1000).equal(by_area % 1000)
    # where nothing overlaps any order is the same
    apart = detections()[torch.tensor([0, 2])]
    head.srm.scores = lambda *_: torch.tensor([.2, .9])
    assert (fuse(head, apart) % 1000).equal(
        fuse(fusion_head(rank_mode='score'), apart) % 1000)


def test_ranks_on_cells_of_the_image_that_the_network_saw():
    head = fusion_head(srm=dict(stride=4))
    sizes = []
    head.srm.scores = lambda masks, labels, size: (sizes.append(size),
                                                   torch.ones(3))[1]
    instances = detections()
    head.rank(instances)
    instances.set_metainfo(dict(img_shape=(64, 96)))
    head.rank(instances)
    assert sizes == [None, (16, 24)]


def test_masks_that_never_overlap_teach_nothing():
    head = fusion_head(train_source='gt')
    apart = make_sample([(0, 0, 20, 20), (30, 30, 50, 50)]).gt_instances
    overlap = make_sample(OVERLAP).gt_instances
    for _ in range(99):
        head.annotated([apart])
    with pytest.raises(UserError, match='instance_ann_file'):
        head.annotated([apart])
    # one overlap is enough
    head = fusion_head(train_source='gt')
    head.annotated([overlap])
    for _ in range(100):
        head.annotated([apart])


@pytest.mark.parametrize('wrong', [
    dict(train_source='png'),
    dict(rank_mode='size'),
    dict(share='roi'),
])
def test_options_that_are_none(wrong):
    with pytest.raises(UserError, match=list(wrong)[0]):
        build(**wrong)


def stock_cfg(cfg):
    """MMDetection's Panoptic FPN of the config of an OANet."""
    cfg = copy.deepcopy(cfg)
    head = cfg.panoptic_fusion_head
    cfg.type = 'mmdet.PanopticFPN'
    cfg.panoptic_fusion_head = dict(
        type='mmdet.HeuristicFusionHead',
        num_things_classes=head.num_things_classes,
        num_stuff_classes=head.num_stuff_classes)
    return cfg


def test_checkpoint_of_panoptic_fpn():
    """Fits, and by score the answer is the same."""
    cfg = small_cfg()
    head = Config.fromfile(CONFIGS /
                           'oanet-order_r50_fpn_coco.py').model.semantic_head
    cfg.semantic_head = Config(
        dict(
            head,
            in_channels=64,
            num_things_classes=THINGS,
            num_stuff_classes=STUFF))
    cfg.panoptic_fusion_head.rank_mode = 'score'
    stock, model = (MODELS.build(x).eval() for x in (stock_cfg(cfg), cfg))
    found = model.load_state_dict(stock.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert all(
        key.startswith('panoptic_fusion_head.srm.')
        for key in found.missing_keys)
    images = torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        (a, ), (b, ) = (
            x(images, [make_sample(OVERLAP)], 'predict')
            for x in (stock, model))
    assert a.pred_panoptic_seg.sem_seg.equal(b.pred_panoptic_seg.sem_seg)
    assert b.pred_sem_seg.sem_seg.min() >= THINGS
    step(model, make_sample(OVERLAP))


def test_ranking_alone():
    """Annotations without images; what it learns fits into an OANet."""
    cfg = Config.fromfile(CONFIGS / 'srm_photo-stamps.py').model
    cfg.panoptic_fusion_head.update(
        num_things_classes=THINGS, num_stuff_classes=STUFF)
    alone = MODELS.build(cfg)
    sample = make_sample(OVERLAP)
    blank = torch.zeros(1, 1, SIZE, SIZE)
    losses = alone(blank, [sample], 'loss')
    expected = build().panoptic_fusion_head
    expected.load_state_dict(alone.panoptic_fusion_head.state_dict())
    wanted = expected.loss(
        expected.annotated([sample.gt_instances]),
        [sample.gt_sem_seg.sem_seg])
    assert losses['loss_srm'] == wanted['loss_srm'] > 0
    found, = alone(blank, [sample], 'predict')
    assert sorted(found.pred_instances.ranks.tolist()) == [0, 1]
    assert set(alone.state_dict()) <= set(build().state_dict())


@pytest.mark.parametrize('name', ['oanet_r50_fpn_coco', 'srm_coco'])
def test_published_sizes(name):
    """The parts fit together at full size."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py').model
    if 'backbone' in cfg:
        cfg.backbone.init_cfg = None
    model = MODELS.build(cfg)
    losses = step(model, make_sample(OVERLAP))
    assert losses['loss_srm'] > 0
    head = model.panoptic_fusion_head
    assert sum(p.numel() for p in head.parameters()) == 4 * (80 * 80 * 7 + 80)


def test_learning_rates_are_those_of_the_batches():
    for name in ('srm_coco', 'srm_photo-stamps',
                 'oanet_mobilenetv2_fpn_photo-stamps'):
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        assert (cfg.auto_scale_lr.base_batch_size ==
                cfg.train_dataloader.batch_size), name
