# Copyright (c) mmbombo contributors.
import pytest
import torch
import torch.nn.functional as F

from mmbombo.models.layers import SpatialRanking, at_cells, rank_instances
from mmbombo.utils import UserError


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def box(x1, y1, x2, y2, side=32):
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[y1:y2, x1:x2] = True
    return mask


def two_boxes():
    """Two that overlap, of classes 0 and 1, the second visible."""
    masks = torch.stack([box(0, 0, 20, 20), box(10, 10, 30, 30)])
    target = torch.full((32, 32), 255)
    target[masks[0]] = 0
    target[masks[1]] = 1
    return masks, torch.tensor([0, 1]), target


def test_loss_by_hand():
    srm = SpatialRanking(3, kernel_size=3, stride=1, loss_weight=2.)
    masks, labels, target = two_boxes()
    pasted = srm.paste(masks, labels, (32, 32))[None]
    assert pasted[0].bool()[:2].equal(masks) and not pasted[0, 2].any()
    both = masks.all(0)
    wanted = 2 * F.cross_entropy(srm(pasted)[0][:, both].T, target[both])
    losses = srm.loss(pasted, target[None])
    torch.testing.assert_close(losses['loss_srm'], wanted)
    assert losses['srm_cells'] == 100

    # where neither of the two is visible, nobody knows
    target[12:15] = 255
    target[15:17] = 2
    assert srm.loss(pasted, target[None])['srm_cells'] == 50


@pytest.mark.parametrize('labels', [[], [1], [1, 1]])
def test_no_conflict(labels):
    """An empty image, one instance, two of the same class."""
    srm = SpatialRanking(3)
    masks = torch.stack([box(0, 0, 20, 20), box(8, 8, 30, 30)])[:len(labels)]
    pasted = srm.paste(masks, torch.tensor(labels, dtype=torch.long), (4, 4))
    losses = srm.loss(pasted[None], torch.ones(1, 4, 4))
    assert losses['loss_srm'] == 0
    losses['loss_srm'].backward()
    for parameter in srm.parameters():
        assert parameter.grad is not None and not parameter.grad.any()


def test_cells_are_centers():
    image = torch.arange(35).view(5, 7)
    assert at_cells(image, (5, 7)).equal(image)
    assert at_cells(image, (2, 2)).tolist() == [[8, 12], [22, 26]]
    assert SpatialRanking(1).size(801, 1333) == (101, 167)


def test_scores():
    """Bounded, 0 for none, and of the instance, not of its place in a list."""
    srm = SpatialRanking(3, stride=4)
    masks = torch.stack([
        box(0, 0, 20, 20),
        box(10, 10, 30, 30),
        box(5, 5, 5, 5),  # nothing of it is in the image
        box(11, 11, 12, 12),  # between the centers of cells
    ])
    labels = torch.tensor([0, 1, 2, 2])
    scores = srm.scores(masks, labels)
    assert scores[2] == 0 and scores[3] > 0
    assert ((scores >= 0) & (scores <= 1)).all()
    order = torch.tensor([3, 1, 0, 2])
    torch.testing.assert_close(
        srm.scores(masks[order], labels[order]), scores[order])
    # by hand
    cells = at_cells(masks, (8, 8))
    prob = srm(
        torch.stack([
            cells[0], cells[1],
            F.max_pool2d(masks[3][None].float(), 4)[0] > 0
        ]).float())
    torch.testing.assert_close(scores[1],
                               prob.softmax(0)[1][cells[1]].mean().detach())
    assert srm.scores(masks[:0], labels[:0]).shape == (0, )


def test_orders():
    srm = SpatialRanking(2)
    masks = torch.stack([
        box(0, 0, 9, 9),
        box(0, 0, 20, 20),
        box(0, 0, 9, 9),
        box(0, 0, 30, 30)
    ])
    labels = torch.tensor([0, 1, 0, 1])
    scores = torch.tensor([.5, .7, .6, .9])
    srm.scores = lambda *_: torch.tensor([.8, .5, .8, .1])

    def order(mode):
        return rank_instances(mode, masks, labels, scores, srm).tolist()

    assert order('score') == [3, 1, 2, 0]
    assert order('area') == [2, 0, 1, 3]
    assert order('srm') == [2, 0, 1, 3]
    assert order('srm*score') == [2, 0, 1, 3]
    srm.scores = lambda *_: torch.tensor([.8, .5, .1, .5])
    assert order('srm') == [0, 3, 1, 2]
    assert order('srm*score') == [3, 0, 1, 2]
    with pytest.raises(UserError, match='rank_mode'):
        order('size')
    for mode in ('srm', 'score', 'area'):
        assert not len(
            rank_instances(mode, *(x[:0]
                                   for x in (masks, labels, scores)), srm))


def test_one_class_falls_to_the_score():
    """A softmax over one class is 1 everywhere."""
    masks = torch.stack([box(0, 0, 20, 20), box(8, 8, 30, 30)])
    order = rank_instances('srm', masks, torch.zeros(2, dtype=torch.long),
                           torch.tensor([.3, .4]), SpatialRanking(1))
    assert order.tolist() == [1, 0]


def test_two_hundred_instances():
    srm = SpatialRanking(5, stride=4)
    corners = torch.randint(0, 24, (200, 2)).tolist()
    masks = torch.stack([box(x, y, x + 8, y + 8) for x, y in corners])
    order = rank_instances('srm', masks, torch.randint(0, 5, (200, )),
                           torch.rand(200), srm)
    assert sorted(order.tolist()) == list(range(200))


def test_autocast():
    srm = SpatialRanking(2, stride=1)
    masks, labels, target = two_boxes()
    with torch.autocast('cpu', torch.bfloat16):
        losses = srm.loss(
            srm.paste(masks, labels, (32, 32))[None], target[None])
        assert losses['loss_srm'].dtype == torch.float32
        assert srm.scores(masks, labels).dtype == torch.float32
    # a sum for which half precision has too few digits
    for parameter in srm.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.autocast('cpu', torch.bfloat16):
        scores = srm.scores(torch.ones(2, 33, 33).bool(), labels)
    torch.testing.assert_close(scores, torch.full((2, ), .5))


def test_pretrained(tmp_path):
    """From a ranking that was trained alone; all of it, or an error."""
    trained = SpatialRanking(3, 5)
    path = str(tmp_path / 'srm.pth')
    torch.save(
        dict(
            state_dict={
                f'panoptic_fusion_head.srm.{key}': value
                for key, value in trained.state_dict().items()
            }), path)

    def load(*args, **kwargs):
        srm = SpatialRanking(
            *args,
            init_cfg=dict(type='Pretrained', checkpoint=path, **kwargs))
        srm.init_weights()
        return srm.state_dict()

    for key, value in load(3, 5).items():
        assert value.equal(trained.state_dict()[key])
    for wrong in (4, 5), (3, 7):
        with pytest.raises(UserError, match='srm.pth.*size mismatch'):
            load(*wrong)
    with pytest.raises(UserError, match='srm.pth.*lacks'):
        load(3, 5, prefix='srm.')


def test_even_kernel():
    with pytest.raises(UserError, match='kernel_size=4'):
        SpatialRanking(3, kernel_size=4)


def toy_scene(rule, side=16):
    """Two boxes, the second inside the first's reach, and which is seen."""
    small = torch.randint(4, 7, (2, )).tolist()
    large = torch.randint(9, 13, (2, )).tolist()
    x, y = (int(torch.randint(0, side - s, ())) for s in large)
    dx, dy = (int(torch.randint(1 - s // 2, b - s // 2, ()))
              for s, b in zip(small, large))
    masks = torch.stack([
        box(x, y, x + large[0], y + large[1], side),
        box(
            max(x + dx, 0), max(y + dy, 0),
            max(x + dx, 0) + small[0],
            max(y + dy, 0) + small[1], side)
    ])
    labels = torch.randperm(2)
    if rule == 'class':  # a tie is on a person, whichever is larger
        front = int(labels.argmax())
    else:  # a smaller thing is in front, whatever it is
        front = 1
    target = torch.full((side, side), 255)
    target[masks[1 - front]] = labels[1 - front]
    target[masks[front]] = labels[front]
    return masks, labels, target, front


def order_accuracy(rule, kernel_size, steps):
    srm = SpatialRanking(2, kernel_size, stride=1)
    optimizer = torch.optim.Adam(srm.parameters(), 0.02)
    for _ in range(steps):
        scenes = [toy_scene(rule) for _ in range(8)]
        pasted = torch.stack(
            [srm.paste(*scene[:2], (16, 16)) for scene in scenes])
        target = torch.stack([scene[2] for scene in scenes])
        optimizer.zero_grad()
        srm.loss(pasted, target)['loss_srm'].backward()
        optimizer.step()
    right = 0
    for _ in range(100):
        masks, labels, _, front = toy_scene(rule)
        right += int(srm.scores(masks, labels).argmax()) == front
    return right / 100


@pytest.mark.parametrize('rule, kernel_size, low, high', [
    ('class', 1, .9, 1),
    ('class', 7, .9, 1),
    ('size', 1, .3, .7),
    ('size', 7, .9, 1),
])
def test_what_it_learns(rule, kernel_size, low, high):
    """Classes alone are for a kernel of 1, too; sizes are for a larger one."""
    accuracy = order_accuracy(rule, kernel_size, 60)
    assert low <= accuracy <= high
