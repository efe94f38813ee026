# Copyright (c) mmbombo contributors.
"""Seeds from maps of classes."""
import pytest
import torch

from mmbombo.models.task_modules import SaliencyGuidedSeedSelector
from mmbombo.registry import TASK_UTILS

EXACT, HALF, DOUBLE, FAR = 0, 1, 2, 3
PROPOSALS = torch.tensor([[40., 40., 80., 80.], [40., 40., 80., 60.],
                          [20., 20., 100., 100.], [100., 0., 130., 30.],
                          [38., 42., 80., 78.]])


@pytest.fixture
def select():
    return TASK_UTILS.build(dict(type='SaliencyGuidedSeedSelector'))


def bright(value=1., classes=1):
    maps = torch.zeros(classes, 120, 160)
    maps[:, 40:80, 40:80] = value
    return maps


def test_exact_box_wins(select):
    seeds = select(PROPOSALS, bright(.9), torch.tensor([True]))
    assert seeds.inds.tolist() == [EXACT] and seeds.labels.tolist() == [0]
    torch.testing.assert_close(seeds.boxes, PROPOSALS[:1])
    torch.testing.assert_close(seeds.scores, torch.tensor([.9]))
    # half has an IoU of .5, double one of .25
    assert seeds.assigned[:, 0].tolist() == [1, 1, -1, 0, 1]
    assert seeds.salient.tolist() == [1, 1, -1, 0, 1]
    assert seeds.assigned.dtype == torch.int8


def test_classes_of_the_image(select):
    """The object of another class is no negative of what is salient, and
    maps of absent classes are not read."""
    maps = bright(classes=4)
    maps[1] = 0
    maps[1, :30, 100:130] = 1
    maps[2] = torch.nan
    labels = torch.tensor([1, 1, 0, 1])
    maps[3] = .5  # shown, but its map says nothing
    seeds = select(PROPOSALS, maps, labels)
    assert seeds.inds.tolist() == [EXACT, FAR]
    assert seeds.labels.tolist() == [0, 1]
    assert seeds.assigned[:, 1].tolist() == [0, 0, 0, 1, 0]
    assert (seeds.assigned[:, 2] == 0).all()
    assert (seeds.assigned[:, 3] == -1).all()
    assert seeds.salient.tolist() == [1, 1, -1, 1, 1]


@pytest.mark.parametrize('value', [0., .5, 1., torch.nan])
def test_uniform_map_has_no_seed(select, value):
    boxes = torch.cat([PROPOSALS, torch.tensor([[0., 0., 160., 120.]])])
    seeds = select(boxes, torch.full((1, 120, 160), value),
                   torch.tensor([True]))
    assert len(seeds.inds) == len(seeds.boxes) == 0
    assert (seeds.assigned == -1).all() and (seeds.salient == -1).all()


def test_object_that_fills_the_image(select):
    maps = torch.full((1, 120, 160), .9)
    maps[:, :3] = 0
    boxes = torch.cat([PROPOSALS, torch.tensor([[0., 0., 160., 120.]])])
    assert select(boxes, maps, torch.tensor([True])).inds.tolist() == [5]


@pytest.mark.parametrize('maps, options', [(bright(.2), {}),
                                           (bright(), dict(min_area=2000)),
                                           (bright(), dict(min_contrast=1.))])
def test_weak_small_or_flat(maps, options):
    # the others are too small as well, or have more of the dark
    select = SaliencyGuidedSeedSelector(**options)
    seeds = select(PROPOSALS[[EXACT, HALF, FAR]], maps, torch.tensor([True]))
    assert len(seeds.inds) == 0


@pytest.mark.parametrize('other, salient', [(0, 0), (1, -1), (-1, -1)])
def test_what_was_not_found_may_be_elsewhere(select, other, salient):
    """Nothing shows nothing while a tag is unknown, or has no seed."""
    maps = bright(classes=2)
    maps[1] = 0
    seeds = select(PROPOSALS, maps, torch.tensor([1, other]).char())
    assert seeds.labels.tolist() == [0]
    assert seeds.salient[FAR] == salient and seeds.salient[EXACT] == 1


def test_neighborhood_is_neither(select):
    """What is dark, but overlaps a seed, is not said to be of nothing."""
    boxes = torch.tensor([[40., 40., 80., 80.], [70., 70., 158., 118.]])
    maps = bright()
    seeds = select(boxes, maps, torch.tensor([True]))
    # an IoU of 100 / 5724
    assert seeds.salient.tolist() == [1, 0]
    select.ignore_iou = .01
    assert select(boxes, maps,
                  torch.tensor([True])).salient.tolist() == [1, -1]


@pytest.mark.parametrize('boxes, labels', [(PROPOSALS[:0], [True]),
                                           (PROPOSALS, [False]),
                                           (PROPOSALS[:0], [])])
def test_nothing_to_select(select, boxes, labels):
    seeds = select(boxes, bright(classes=len(labels)),
                   torch.tensor(labels, dtype=torch.bool))
    assert len(seeds.inds) == len(seeds.labels) == len(seeds.scores) == 0
    assert seeds.boxes.shape == (0, 4)
    assert seeds.assigned.shape == (len(boxes), len(labels))
    assert (seeds.salient == -1).all()


def test_one_proposal(select):
    seeds = select(PROPOSALS[:1], bright(), torch.tensor([True]))
    assert seeds.inds.tolist() == [0] and seeds.salient.tolist() == [1]
