# Copyright (c) mmbombo contributors.
"""WSDDN's head, its gate, and the seeds that teach it."""
import numpy as np
import pytest
import torch
from mmengine.structures import LabelData
from toolbox import CLASSES, make_sample, tiny_model_cfg

from mmbombo.models.context import StepContext
from mmbombo.models.layers.freeform_roi_pool import roi_max_pool
from mmbombo.models.task_modules import SaliencyGuidedSeedSelector
from mmbombo.registry import MODELS
from mmbombo.structures import Regions
from mmbombo.utils import UserError

SIZE = 64
HEAD = dict(
    type='ProposalTaskHead',
    num_classes=3,
    in_channels=16,
    stride=8,
    fc_channels=12,
    roi_size=3,
    dropout_ratio=0.,
    min_size=4)
GATES = [None, 'feature', 'logit', 'score']


def build(**kwargs):
    torch.manual_seed(0)
    head = MODELS.build(dict(HEAD, **kwargs))
    head.init_weights()
    for layer in (head.fc_cls, head.fc_det):  # so that scores differ
        torch.nn.init.normal_(layer.weight)
    return head


def regions_of(boxes, shape=(SIZE, SIZE)):
    boxes = torch.as_tensor(boxes, dtype=torch.float).view(-1, 4)
    return Regions(
        bboxes=boxes,
        pairs=torch.zeros(2, 0).long(),
        superpixels=torch.zeros(shape).long())


def some_boxes(number, seed=0):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(number, 2, generator=generator) * 40
    extent = 6 + torch.rand(number, 2, generator=generator) * 16
    return torch.cat([low, low + extent], 1)


def sample(boxes=some_boxes(6), labels=(1, 0, 1), kinds=('image_label', )):
    found = make_sample(kinds, size=SIZE)
    found.regions = regions_of(boxes)
    if labels is not None:
        found.gt_image_label = LabelData(label=torch.tensor(labels).char())
    return found


def feats(number=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(number, 16, 8, 8, generator=generator), )


def softmax(x, axis):
    x = np.exp(x - x.max(axis, keepdims=True))
    return x / x.sum(axis, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize('hidden', [0, 5])
@pytest.mark.parametrize('gate', GATES)
@torch.no_grad()
def test_against_numpy(gate, hidden):
    head = build(gate=gate, saliency_channels=hidden).double()
    maps = tuple(x.double() for x in feats())
    found, = head(maps, [sample()])
    weights = {k: v.numpy() for k, v in head.state_dict().items()}

    def linear(name, x):
        return x @ weights[f'{name}.weight'].T + weights[f'{name}.bias']

    x = roi_max_pool(maps[0][0], found.boxes, 3, 8).flatten(1).numpy()
    phi = linear('fc7', linear('fc6', x).clip(0)).clip(0)
    s = 1.
    if gate is not None and hidden:
        s = sigmoid(
            linear('saliency_net.2',
                   linear('saliency_net.0', phi).clip(0)))
    elif gate is not None:
        s = sigmoid(linear('saliency_net.0', phi))
    det = linear('fc_det', phi * s if gate == 'feature' else phi)
    det = det + np.log(s) if gate == 'logit' else det
    scores = softmax(linear('fc_cls', phi), 1) * softmax(det / 2., 0)
    scores = scores * s if gate == 'score' else scores
    np.testing.assert_allclose(head.scores(found), scores, atol=1e-9)
    assert 0 < scores.sum(0).min() and scores.sum(0).max() < 1


@pytest.mark.parametrize('gate', GATES[1:])
@torch.no_grad()
def test_open_gate_is_wsddn(gate):
    """With a saliency of 1, and logits of second streams that differ by a
    constant."""
    head, gated = build(), build(gate=gate)
    gated.load_state_dict(head.state_dict(), strict=False)
    torch.nn.init.constant_(gated.saliency_net[2].weight, 0)
    torch.nn.init.constant_(gated.saliency_net[2].bias, 50)
    gated.fc_det.bias += 3
    plain, other = (x(feats(), [sample()])[0] for x in (head, gated))
    torch.testing.assert_close(head.scores(plain), gated.scores(other))


@pytest.mark.parametrize('gate', [None, 'feature'])
@torch.no_grad()
def test_images_do_not_mix(gate):
    """The softmax over proposals is that of each image, however many it has,
    and outputs can be taken and put together."""
    head = build(gate=gate)
    maps = feats(3)
    samples = [sample(some_boxes(n, seed=n)) for n in (5, 1, 9)]
    together = head(maps, samples)
    for i in range(3):
        alone, = head((maps[0][i:i + 1], ), samples[i:i + 1])
        for x, y in zip(together[i], alone):
            assert x is y is None or torch.allclose(x, y, atol=1e-6)
    assert [len(x.boxes) for x in head.select(together, [2, 0], 3)] == [9, 5]
    assert head.join([together[:1], together[1:]]) == together


@torch.no_grad()
def test_same_boxes_count_once():
    head = build()
    boxes = some_boxes(4)
    once, = head(feats(), [sample(boxes)])
    twice, = head(feats(), [sample(boxes.repeat(2, 1))])
    torch.testing.assert_close(head.scores(once), head.scores(twice))
    # which changes no score of an image
    copies, = head.score(feats(), [once.boxes.repeat(2, 1)])
    torch.testing.assert_close(
        head.scores(copies).sum(0),
        head.scores(once).sum(0))


def test_proposals():
    head = build(min_size=8, max_proposals=3)
    boxes = [[0, 0, 7, 30]] + some_boxes(9).add_(torch.tensor([0, 0, 4, 4
                                                               ])).tolist()
    head.train()
    assert len(head.proposals(sample(boxes))) == 3
    head.eval()
    assert len(head.proposals(sample(boxes))) == 9
    for nothing in ([], [[0, 0, 7, 30]]):
        assert head.proposals(sample(nothing)).tolist() == [[0, 0, 64, 64]]


@pytest.mark.parametrize('gate', GATES)
@pytest.mark.parametrize('boxes', [[], [[8., 8, 40, 40]], some_boxes(5)])
@pytest.mark.parametrize('labels', [(1, 0, 1), (0, 0, 0), (-1, -1, -1)])
def test_losses_are_finite(gate, boxes, labels):
    head = build(gate=gate)
    samples = [sample(boxes, labels)]
    outputs = head(feats(), samples)
    losses = {}
    for task in head.tasks:
        targets, _ = head.targets(task, samples)
        losses.update(head.loss_on_targets(task, outputs, targets, []))
    bright = torch.zeros(3, SIZE, SIZE)
    bright[:, 10:40, 10:40] = 1
    for maps in (bright, torch.full_like(bright, .5)):
        seeds = SaliencyGuidedSeedSelector(min_area=4)(outputs[0].boxes, maps,
                                                       torch.tensor(labels)
                                                       > 0)
        losses.update(head.loss_on_targets('det', outputs, [seeds], []))
        assert all(x.isfinite() for x in losses.values())
    # a map that is alike everywhere teaches nothing
    assert losses['loss_seed'] == 0
    assert ('loss_saliency' in losses) == (gate is not None)
    if labels == (-1, -1, -1):
        assert sum(losses.values()) == 0
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_images_without_seeds_do_not_count():
    head = build(gate='feature')
    outputs = head(feats(2), [sample(), sample()])
    select = SaliencyGuidedSeedSelector(min_area=4, min_contrast=.01)
    maps, labels = torch.zeros(3, SIZE,
                               SIZE), torch.tensor([True, False, True])
    maps[:, 10:30, 10:30] = 1
    seeds = [
        select(x.boxes, m, labels) for x, m in zip(outputs, (maps, 0 * maps))
    ]
    assert len(seeds[0].inds) and not len(seeds[1].inds)
    both, one = (
        head.loss_on_targets('det', outputs[:n], seeds[:n], [])
        for n in (2, 1))
    for key, value in one.items():
        assert value > 0
        torch.testing.assert_close(both[key], value)


def test_regions_of_another_image():
    head = build()
    for wrong in (regions_of([], (SIZE, SIZE + 1)), None):
        poor = sample()
        del poor.regions
        if wrong is not None:
            poor.regions = wrong
        for call in (lambda: head.targets('cls', [poor]),
                     lambda: head.add_predictions(feats(
                     ), torch.zeros(1, 3, 64, 64), [poor], None)):
            with pytest.raises(UserError, match='0.jpg'):
                call()


def assert_best_of_each_class(found, scores):
    for c, best in enumerate(scores.amax(0)):
        torch.testing.assert_close(found.scores[found.labels == c].max(), best)


@torch.no_grad()
def test_best_of_each_class_is_predicted():
    """Of a network that knows nothing, too, or if few boxes are wanted."""
    head = MODELS.build(
        dict(HEAD, test_cfg=dict(score_thr=.5, max_per_img=1))).eval()
    for weight, number in ((.01, 3), (9., 3)):
        torch.nn.init.normal_(head.fc_det.weight, std=weight)
        seen = sample(some_boxes(40))
        head.add_predictions(feats(), torch.zeros(1, 3, SIZE, SIZE), [seen],
                             None)
        found, outputs = seen.pred_instances, head(feats(), [seen])
        assert len(found) == number
        assert_best_of_each_class(found, head.scores(outputs[0]))
    # weak losses have thresholds of their own
    assert len(head.decode('det', outputs, [], dict(score_thr=1.))[0]) == 0


@torch.no_grad()
def test_predictions():
    """Boxes are those of the original image, after NMS in each class."""
    head = build(test_cfg=dict(score_thr=0.02)).eval()
    seen = sample()
    seen.set_metainfo(dict(scale_factor=(.5, .25)))
    head.add_predictions(feats(), torch.zeros(1, 3, SIZE, SIZE), [seen], None)
    outputs = head(feats(), [seen])
    scores = head.scores(outputs[0])
    torch.testing.assert_close(seen.pred_image_label.score, scores.sum(0))
    torch.testing.assert_close(
        head.decode('cls', outputs, [])[0], scores.sum(0))
    decoded = head.decode('det', outputs, [])[0]
    found = seen.pred_instances
    assert 2 < len(found) < 18
    torch.testing.assert_close(found.bboxes,
                               decoded.bboxes * torch.tensor([2., 4, 2, 4]))
    assert len(found) and (found.scores > .02).all()
    assert_best_of_each_class(found, scores)
    assert len(head.decode('det', outputs, [], dict(max_per_img=1))[0]) == 1


def test_predictions_in_a_step_are_those_of_evaluation():
    """Neither dropout nor a limit of proposals is seen in them."""
    model = model_of_seeds()
    head = model.task_heads.proposals
    inputs, seen = torch.randn(1, 3, SIZE, SIZE), sample(some_boxes(20))

    def predict():
        ctx = StepContext(model, inputs, [seen])
        cfg = dict(score_thr=0., max_per_img=1000)
        return ctx.predict('det', [0], cfg=cfg, head='proposals')[0]

    wanted = predict()
    for head.dropout.p, head.max_proposals in ((.5, None), (0., 3)):
        found = predict()
        assert head.training and head.dropout.training
        torch.testing.assert_close(found.bboxes, wanted.bboxes)
        torch.testing.assert_close(found.scores, wanted.scores)


@torch.no_grad()
def test_scales_and_flip():
    """Features that are pooled from the image itself show how boxes move."""
    head = build(
        in_channels=3, stride=1, test_cfg=dict(scales=(1., .5, 2.),
                                               flip=True)).eval()
    steps = torch.arange(SIZE) // 16 % 2.
    image = (steps[:, None] + 2 * steps)[None, None].expand(1, 3, -1, -1)
    image = torch.cat([image, image.flip(2)], 2)  # twice as high as wide
    # mirror images and scales of these look the same
    boxes = torch.tensor([[0., 0, 16, 16], [16, 16, 32, 32], [32, 0, 48, 16],
                          [48, 80, 64, 128], [48, 0, 64, 16]])
    image = torch.maximum(image, image.flip(-1))
    seen = sample(boxes)
    seen.set_metainfo(dict(img_shape=(2 * SIZE, SIZE)))
    seen.regions = regions_of(boxes, seen.img_shape)
    scores, scale = [], []

    def extract(inputs):
        scale.append(tuple(inputs.shape[-2:]))
        return (inputs, )

    head.score = lambda feats, boxes, old=head.score: scores.append(
        old(feats, [x for x in boxes])) or scores[-1]
    head.add_predictions((image, ), image, [seen], extract)
    assert sorted(scale) == [(64, 32), (64, 32), (128, 64), (256, 128),
                             (256, 128)]
    plain, flipped = scores[:2]
    torch.testing.assert_close(flipped[0].boxes[:, 0],
                               64 - plain[0].boxes[:, 2])
    torch.testing.assert_close(flipped[0].boxes[:, 1], plain[0].boxes[:, 1])
    for view, factor in ((scores[2], .5), (scores[4], 2)):
        torch.testing.assert_close(view[0].boxes, factor * plain[0].boxes)
    mean = torch.stack([head.scores(x[0]) for x in scores]).mean(0)
    torch.testing.assert_close(seen.pred_image_label.score, mean.sum(0))


def model_of_seeds(**kwargs):
    torch.manual_seed(0)
    loss = dict(
        type='TagForProposalLoss',
        maps=dict(type='CAMMaps'),
        selector=dict(type='SaliencyGuidedSeedSelector', min_area=4))
    loss.update(kwargs)
    cfg = tiny_model_cfg(
        class_map=None,
        weak_losses=[loss],
        classes=dict(cls=CLASSES, det=CLASSES))
    cfg['task_heads'] = dict(
        proposals=dict(HEAD, in_index=1, stride=8, gate='feature'),
        cls=dict(
            type='ClsTaskHead', num_classes=3, in_channels=16, in_index=0))
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


@pytest.mark.parametrize('kinds', [('image_label', ), ('bbox', )])
def test_a_step(kinds):
    model = model_of_seeds()
    inputs = torch.randn(2, 3, SIZE, SIZE)
    losses = model(inputs, [sample(kinds=kinds) for _ in range(2)], 'loss')
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert loss.isfinite()
    # without a tag nothing is run, and heads get zeros
    part = model if kinds == ('image_label', ) else model.task_heads
    learned = [p for p in part.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in learned)
    wanted = {
        'proposals/cls/loss_mil', 'proposals/det/loss_spatial',
        't4p/loss_seed', 't4p/loss_saliency', 't4p/seeded'
    }
    assert (wanted <= set(losses)) == (kinds == ('image_label', ))
    predicted = model.eval()(inputs, [sample(), sample()], 'predict')
    assert all('pred_instances' in x for x in predicted)


def test_seeds_are_those_of_the_maps():
    model = model_of_seeds(maps=dict(type='CAMMaps', saliency=True))
    tagged = sample(kinds=('image_label', 'saliency'))
    ctx = StepContext(model, torch.randn(1, 3, SIZE, SIZE), [tagged])
    cam = torch.zeros(1, 3, 16, 16)
    cam[:, :, 2:8, 2:8] = 1
    tagged.gt_saliency.data = torch.zeros(1, SIZE, SIZE)
    tagged.gt_saliency.data[:, 10:30, 10:30] = 1
    box = torch.tensor([[10., 10, 30, 30], [8, 8, 32, 32], [40, 40, 60, 60]])
    tagged.regions = regions_of(box)
    ctx._outputs['cls'] = cam.mean((2, 3)), cam
    seeds, = model.weak_losses[0].seeds(ctx, [0])
    assert seeds.labels.tolist() == [0, 2]  # not of the absent class
    torch.testing.assert_close(seeds.boxes, box[:1].expand(2, -1))
    (shown, ), _ = model.weak_losses[0].pseudo_boxes(ctx, [0])
    assert shown.bboxes.equal(seeds.boxes)
    assert shown.labels.tolist() == [0, 2]
    weak = model.weak_losses[0](ctx)
    assert weak['seeded'] == 1 and weak['loss_seed'] > 0


@pytest.mark.parametrize('kwargs, message', [
    (dict(head='cls'), 'must be a ProposalTaskHead'),
    (dict(maps=dict(type='CAMMaps', head='proposals')), 'ClsTaskHead'),
    (dict(head='boxes'), 'no head is named'),
    (dict(maps=dict(type='MaskMaps')), 'name their classes in'),
])
def test_wrong_heads(kwargs, message):
    with pytest.raises(UserError, match=message):
        model_of_seeds(**kwargs)


def test_options():
    with pytest.raises(UserError, match='gate of ProposalTaskHead'):
        build(gate='both')
    head = build()
    with pytest.raises(UserError, match='must be those of the tags'):
        head.check_classes(dict(cls=CLASSES, det=CLASSES[::-1]))
    with pytest.raises(UserError, match='stride=8, but map -1'):
        head.check_features((torch.zeros(1, 16, 8, 8), ), 128)


def test_starts_from_vgg16(tmp_path):
    weights = {
        f'classifier.{i}.{name}': torch.randn(shape)
        for i, name, shape in ((0, 'weight', (12, 144)), (0, 'bias', (12, )),
                               (3, 'weight', (12, 12)), (3, 'bias', (12, )))
    }
    torch.save(weights, tmp_path / 'vgg16.pth')
    head = MODELS.build(dict(HEAD, vgg16=str(tmp_path / 'vgg16.pth')))
    head.init_weights()
    assert torch.equal(head.fc6.weight, weights['classifier.0.weight'])
    assert torch.equal(head.fc7.bias, weights['classifier.3.bias'])
    assert head.fc_cls.weight.std() < .02 and (head.fc_det.bias == 0).all()


def test_beside_a_dense_head():
    """Tags that teach the proposals are no boxes to another head."""
    cfg = tiny_model_cfg(
        weak_losses=[
            dict(type='MaskForBoxLoss'),
            dict(type='PseudoBoxLoss', teacher='ema')
        ],
        classes=dict(cls=CLASSES, det=CLASSES))
    cfg['task_heads']['proposals'] = dict(HEAD, in_index=1)
    cfg['task_heads']['cls'] = dict(
        type='ClsTaskHead', num_classes=3, in_channels=16, in_index=0)
    model = MODELS.build(cfg)
    kinds = [('image_label', 'sem_seg'), ('bbox', 'image_label', 'sem_seg')]
    ctx = StepContext(model, torch.zeros(2, 3, SIZE, SIZE),
                      [sample(kinds=x) for x in kinds])
    assert all(x.images(ctx) == [0] for x in model.weak_losses)
    assert ctx.annotated('det', 'proposals') == [0, 1]
    # of whatever name
    cfg['task_heads']['dense'] = cfg['task_heads'].pop('det')
    cfg['weak_losses'] = [
        dict(type='TagForProposalLoss', maps=dict(type='CAMMaps'))
    ]
    model = MODELS.build(cfg)
    ctx = StepContext(model, ctx.inputs, ctx.samples)
    assert model.weak_losses[0](ctx)['loss_seed'].isfinite()
