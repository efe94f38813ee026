# Copyright (c) mmbombo contributors.
"""Answers of a teacher on disk."""
import copy
import pickle

import pytest
import torch

from mmbombo.models.context import TeacherOutputs
from mmbombo.models.utils import nested_tensors
from mmbombo.models.weak_losses.distillation import (AnswerCache,
                                                     CachedNetwork,
                                                     identity_of)
from mmbombo.registry import MODELS
from mmbombo.testing import tiny_model_cfg

CPU = torch.device('cpu')
SIDE = 64


def image(seed=0, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape or (3, 8, 8), generator=generator)


@pytest.fixture
def cache(tmp_path):
    return AnswerCache(tmp_path / 'cache', 'who')


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    return MODELS.build(tiny_model_cfg()).eval().requires_grad_(False)


def test_what_is_put_comes_back(cache):
    key = cache.key('det', image())
    assert cache.get(key, CPU) is None
    answer = ([image(1), image(2).bfloat16()], (image(3).half(), ))
    cache.put(key, answer)
    found = cache.get(key, CPU)
    assert isinstance(found, tuple) and isinstance(found[0], list)
    for x, y in zip(nested_tensors(found), nested_tensors(answer)):
        assert x.dtype == y.dtype and torch.equal(x, y)
    assert len(list(cache.path(key).parent.iterdir())) == 1, 'nothing beside'


def test_the_key_depends_on_everything(cache, monkeypatch):
    keys = [
        cache.key('det', image()),
        cache.key('seg', image()),
        cache.key('det', image(1)),
        cache.key('det', image().double()),
        cache.key('det', image().reshape(3, 4, 16)),
        AnswerCache(cache.root, 'another').key('det', image())
    ]
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast('cpu', dtype):
            keys.append(cache.key('det', image()))
    with monkeypatch.context() as patch:
        patch.setattr(
            'mmbombo.models.weak_losses.distillation.answer_cache.'
            'FORMAT_VERSION', 0)
        keys.append(cache.key('det', image()))
    assert len(set(keys)) == len(keys)
    # a view into a batch is the same image
    assert cache.key('det', torch.stack([image(1), image()])[1]) == keys[0]


def test_who_answers(teacher):
    identity = identity_of(teacher, 'config')
    assert identity == identity_of(copy.deepcopy(teacher), 'config')
    assert identity != identity_of(teacher, 'another config')
    other = copy.deepcopy(teacher)
    other.backbone.bn1.running_mean[0] += 1
    assert identity != identity_of(other, 'config')


def truncated(data):
    return data[:len(data) // 2]


def one_bit_changed(data):
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


def empty(data):
    return b''


class Program:
    """Pickled, it would fail the test when it is loaded."""

    def __reduce__(self):
        return pytest.fail, ('the file has been run', )


def foreign(data):
    return pickle.dumps(Program())


def foreign_under_our_label(data):
    return data.partition(b'\n')[0] + b'\n' + pickle.dumps(Program())


@pytest.mark.parametrize('damage', [
    truncated, one_bit_changed, empty, foreign, foreign_under_our_label
])
def test_a_bad_file_is_absent_and_replaced(cache, damage):
    key = cache.key('det', image())
    cache.put(key, (image(1), ))
    path = cache.path(key)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(key, CPU) is None
    cache.put(key, (image(1), ))
    assert torch.equal(cache.get(key, CPU)[0], image(1))


def test_a_file_under_another_name_is_absent(cache):
    key, other = (cache.key(part, image()) for part in ('det', 'seg'))
    cache.put(key, (image(1), ))
    cache.path(other).parent.mkdir(parents=True, exist_ok=True)
    cache.path(key).rename(cache.path(other))
    assert cache.get(other, CPU) is None


class Counted(CachedNetwork):
    """Notes which images pass through the network."""

    def __init__(self, *args):
        super().__init__(*args)
        self.seen = []

    def _extract(self, images):
        self.seen += images
        return super()._extract(images)


def same(found, wanted, **kwargs):
    for x, y in zip(nested_tensors(found), nested_tensors(wanted)):
        torch.testing.assert_close(x, y, **kwargs)


def test_an_image_passes_through_the_network_once_for_all(cache, teacher):
    inputs = image(0, 4, 3, SIDE, SIDE)
    plain = TeacherOutputs('t', teacher, inputs)
    first = Counted('t', teacher, inputs, cache)
    wanted = plain.outputs('det', [1, 3]), plain.features([1, 3])
    same((first.outputs('det', [1, 3]), first.features([1, 3])), wanted,
         rtol=0, atol=0)
    assert first.seen == [1, 3]

    again = Counted('t', teacher, inputs.clone(), cache)
    same((again.outputs('det', [1, 3]), again.features([1, 3])), wanted,
         rtol=0, atol=0)
    assert again.seen == [] and not again.features([1])[0].requires_grad

    # part of a batch: other sizes of it round in other ways
    mixed = Counted('t', teacher, inputs[[0, 3, 2, 1]], cache)
    same(mixed.outputs('det', [0, 1, 3]), plain.outputs('det', [0, 3, 1]))
    assert mixed.seen == [0]
    # another task was not asked for
    same(mixed.outputs('seg', [1]), plain.outputs('seg', [3]))
    assert mixed.seen == [0, 1]


def test_a_task_that_is_not_there(cache, teacher):
    network = CachedNetwork('t', teacher, image(0, 1, 3, SIDE, SIDE), cache)
    with pytest.raises(KeyError, match="'t' has no task 'depth'"):
        network.outputs('depth', [0])


def test_bytes_of_an_image_are_those_of_its_answer(cache, teacher):
    inputs = image(0, 4, 3, SIDE, SIDE)
    network = CachedNetwork('t', teacher, inputs, cache)
    for part, said in (('outputs of det', network.outputs('det', range(4))),
                       ('features', network.features(range(4)))):
        numbers = sum(x[0].numel() for x in nested_tensors(said))
        written = cache.path(cache.key(part, inputs[2])).stat().st_size
        overhead = 3000 + 500 * len(nested_tensors(said))
        assert 4 * numbers < written < 4 * numbers + overhead
