# Copyright (c) mmbombo contributors.
import torch
from mmengine.structures import PixelData
from toolbox import make_sample

from mmbombo.structures.candidate_map import CandidateMap

# two images of four pixels; sets of four classes, and one row of padding
CANDIDATES = CandidateMap(
    torch.tensor([[[[0, 1], [2, 255]]], [[[0, 0], [255, 1]]]]),
    torch.tensor([[[0, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0]],
                  [[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]]).bool())


def test_where_one_class_is_left():
    assert CANDIDATES.single_classes().tolist() == [[[[1, 255], [255, 255]]],
                                                    [[[255, 255], [255, 3]]]]
    assert CANDIDATES.known.int().tolist() == [[[[1, 1], [1, 0]]],
                                               [[[1, 1], [0, 1]]]]


def test_what_is_possible():
    labels = torch.tensor([[[[1, 1], [1, 1]]], [[[3, 0], [0, 3]]]])
    assert CANDIDATES.allow(labels).int().tolist() == [[[[1, 0], [1, 1]]],
                                                       [[[1, 0], [1, 1]]]]
    unknown = torch.full_like(labels, 255)
    assert not CANDIDATES.allow(unknown).any()


def test_the_middle_of_each_cell():
    wide = CANDIDATES._replace(
        numbers=torch.arange(36).view(1, 1, 6, 6).repeat(2, 1, 1, 1))
    assert wide.every(1).numbers.equal(wide.numbers)
    assert wide.every(3).numbers[0, 0].tolist() == [[7, 10], [25, 28]]


def sample_of(ids, classes=None):
    sample = make_sample(('bbox', ))
    ids = torch.tensor(ids, dtype=torch.uint8)[None]
    sample.pseudo_sem_seg = PixelData(sem_seg=ids)
    if classes is not None:
        sample.pseudo_classes = torch.tensor(classes).view(-1, 3).bool()
    return sample


def test_samples_with_and_without_a_table():
    found = CandidateMap.from_samples(
        [sample_of([[0, 255]], [[1, 1, 0]]),
         sample_of([[255, 255]], []),
         sample_of([[2, 255]])], 3)
    assert found.classes.shape == (3, 3, 3)
    assert found.single_classes()[:, 0, 0, 0].tolist() == [255, 255, 2]
    assert found.known[:, 0, 0].int().tolist() == [[1, 0], [0, 0], [1, 0]]
    nothing = CandidateMap.from_samples([sample_of([[255]], [])], 3)
    assert nothing.single_classes().tolist() == [[[[255]]]]
