# Copyright (c) mmbombo contributors.
import pytest
import torch
from mmengine.structures import LabelData
from toolbox import (CLASSES, SEG_CLASSES, add_weak_labels, make_sample,
                     tiny_model_cfg)
from torch.nn import functional as F

from mmbombo.registry import MODELS
from mmbombo.utils import UserError

HEAD = dict(type='ClsTaskHead', num_classes=3, in_channels=16, in_index=1)


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = MODELS.build(HEAD)
    head.init_weights()
    return head


def sample(labels, size=64, shape=None):
    found = make_sample((), size=size)
    found.set_metainfo(
        dict(
            annotation_kinds=('image_label', ),
            img_shape=shape or (size, size)))
    found.gt_image_label = LabelData(label=torch.tensor(labels).to(torch.int8))
    return found


def loss(head, logits, labels):
    return head.loss_on_targets('cls', (logits, None), labels, [])['loss_cls']


def test_logits_are_the_mean_of_the_activation_maps(head):
    feats = torch.randn(2, 16, 8, 8), torch.randn(2, 16, 4, 4)
    logits, maps = head(feats, [sample([0, 0, 0])] * 2)
    # a 1x1 convolution after the pooling is the same
    pooled = feats[1].mean((2, 3))
    weight, bias = head.classifier.weight[..., 0, 0], head.classifier.bias
    torch.testing.assert_close(logits, pooled @ weight.T + bias)
    torch.testing.assert_close(maps.mean((2, 3)), logits)
    assert torch.equal(head(feats)[1], maps)


def test_padding_is_no_part_of_the_image(head):
    feats = torch.randn(1, 16, 8, 8), torch.randn(1, 16, 4, 4)
    logits, maps = head(feats, [sample([0, 0, 0], shape=(32, 48))])
    torch.testing.assert_close(logits, maps[..., :2, :3].mean((2, 3)))


def test_dropout_is_for_the_logits_alone():
    torch.manual_seed(0)
    head = MODELS.build(dict(HEAD, dropout_ratio=.5, bias=False))
    head.init_weights()
    assert [*head.state_dict()] == ['classifier.weight']
    feat = torch.randn(1, 16, 4, 4, requires_grad=True)
    feats, samples = (None, feat), [sample([0, 0, 0])]
    logits, maps = head.eval()(feats, samples)
    torch.testing.assert_close(logits, maps.mean((2, 3)))
    trained, same = head.train()(feats, samples)
    assert torch.equal(same, maps)
    # whole channels count twice or not at all
    grad, = torch.autograd.grad(logits.sum(), feat)
    ratio = torch.autograd.grad(trained.sum(), feat)[0] / grad
    assert (ratio == ratio[..., :1, :1]).all()
    assert set(ratio.round(decimals=4).unique().tolist()) == {0., 2.}


def test_loss_is_that_of_torch_where_all_is_known(head):
    logits = torch.randn(4, 3, dtype=torch.float64)
    labels = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]])
    torch.testing.assert_close(
        loss(head, logits, labels),
        F.multilabel_soft_margin_loss(logits, labels.double()))


def test_unknown_has_no_loss(head):
    logits = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[1, -1, 0], [-1, -1, -1]])
    value = loss(head, logits, labels)
    known = -(logits[0, 0].sigmoid().log() + (-logits[0, 2]).sigmoid().log())
    torch.testing.assert_close(value, known / 2)
    grad, = torch.autograd.grad(value, logits)
    assert (grad[labels < 0] == 0).all() and (grad[labels >= 0] != 0).all()
    assert loss(head, logits, labels * 0 - 1) == 0
    assert torch.autograd.gradcheck(lambda x: loss(head, x, labels), logits)


def test_weight_and_soft_labels(head):
    head.loss_weight = 3.
    value = loss(head, torch.zeros(1, 3), torch.tensor([[.3, .5, 1.]]))
    torch.testing.assert_close(value, 3 * torch.tensor(2.).log())


def test_predictions_are_probabilities(head):
    feats = torch.randn(1, 16, 8, 8), torch.randn(1, 16, 4, 4)
    samples = [sample([0, 0, 0])]
    head.add_predictions(feats, None, samples, None)
    torch.testing.assert_close(samples[0].pred_image_label.score,
                               head(feats, samples)[0][0].sigmoid())


def test_another_number_of_classes_is_an_error():
    cfg = tiny_model_cfg()
    cfg['task_heads']['cls'] = dict(HEAD, num_classes=4)
    with pytest.raises(ValueError, match="num_classes=4.*'cls' has 3"):
        MODELS.build(dict(cfg, classes=dict(cls=CLASSES)))
    with pytest.raises(ValueError, match="classes=dict.cls="):
        MODELS.build(cfg)


def test_boxes_masks_and_tags_train_one_network():
    cfg = tiny_model_cfg(
        classes=dict(cls=CLASSES),
        weak_losses=[
            dict(type='BoxForMaskLoss'),
            dict(type='MaskForBoxLoss', ramp=0., predictor='none')
        ])
    cfg['task_heads']['cls'] = HEAD
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    assert model.classes == dict(cls=CLASSES, det=CLASSES, seg=SEG_CLASSES)
    objects = {1: (8, 8, 48, 40)}
    samples = [
        add_weak_labels(make_sample(('bbox', ), 0, 64), objects),
        add_weak_labels(make_sample(('sem_seg', ), 1, 64), objects),
        sample([1, 0, -1])
    ]
    losses = model.train()(torch.randn(3, 3, 64, 64), samples, 'loss')
    assert {key.split('/')[0] for key in losses} == \
        {'det', 'seg', 'cls', 'b4m', 'm4b'}
    # the tags of the third image alone
    losses['cls/loss_cls'].backward()
    assert model.task_heads.cls.classifier.weight.grad[2].abs().sum() == 0
    assert model.task_heads.cls.classifier.weight.grad[:2].abs().sum() > 0


def test_another_feature_map_is_an_error():
    for wrong in (dict(in_index=7), dict(in_channels=8)):
        cfg = tiny_model_cfg(classes=dict(cls=CLASSES))
        cfg['task_heads']['cls'] = dict(HEAD, **wrong)
        with pytest.raises(UserError, match='ClsTaskHead reads map'):
            MODELS.build(cfg)
