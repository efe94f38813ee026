# Copyright (c) mmbombo contributors.
import multiprocessing
import os

import numpy as np
import pytest

from mmbombo.weak_labels import PseudoMask, PseudoMaskCache

RECIPE = dict(
    image_bytes=b'an image',
    boxes=np.array([[1, 2, 3.5, 4]], np.float32),
    labels=np.array([1]),
    ignore_flags=np.array([False]),
    compatible=np.array([[0, 0], [0, 1], [1, 0]], bool),
    outside=np.array([True, False, False]),
    method='grabcut',
    rejected='ignore',
    options=dict(margin=.3, iterations=5))


def mask_of(seed, shape=(30, 40)):
    rng = np.random.default_rng(seed)
    return PseudoMask(
        rng.choice(np.array([0, 1, 2, 255], np.uint8), shape),
        rng.random((3, 5)) < .5)


def same(first, second):
    return first is not None and all(map(np.array_equal, first, second))


@pytest.fixture
def cache(tmp_path):
    return PseudoMaskCache(tmp_path / 'cache')


KEY = PseudoMaskCache.key(**RECIPE)


def test_what_is_put_comes_back(cache):
    assert cache.get(KEY) is None
    for mask in (mask_of(0), mask_of(1, (1, 1)), mask_of(2, (7, 300)),
                 PseudoMask(np.zeros((5, 5), np.uint8),
                            np.zeros((0, 3), bool))):
        cache.put(KEY, mask)
        found = cache.get(KEY)
        assert same(found, mask) and found.classes.dtype == bool
    assert [p.name for p in cache.path(KEY).parent.iterdir()
            ] == [f'{KEY[2:]}.npz'], 'nothing is left beside it'
    assert cache.path(KEY).parent.name == KEY[:2]


def test_masks_of_older_versions_are_not_found(cache, monkeypatch):
    cache.put(KEY, mask_of(0))
    monkeypatch.setattr('mmbombo.weak_labels.cache.FORMAT_VERSION', 1)
    old = PseudoMaskCache.key(**RECIPE)
    assert old != KEY
    assert cache.get(old) is None


@pytest.mark.parametrize('change', [
    dict(image_bytes=b'another image'),
    dict(boxes=np.array([[1, 2, 3.25, 4]], np.float32)),
    dict(labels=np.array([0])),
    dict(ignore_flags=np.array([True])),
    dict(compatible=np.array([[0, 0], [0, 0], [1, 0]], bool)),
    dict(compatible=np.array([[0, 0, 0], [1, 1, 0]], bool)),
    dict(outside=np.array([True, True, False])),
    dict(method='box'),
    dict(rejected='candidates'),
    dict(options=dict(margin=.2, iterations=5)),
    dict(options=None),
])
def test_the_key_depends_on_everything(change):
    assert PseudoMaskCache.key(**{**RECIPE, **change}) != KEY


def test_the_key_depends_on_values_only():
    same = dict(
        boxes=[[1., 2., 3.5, 4.]],
        labels=np.array([1], np.int32),
        ignore_flags=[0],
        options=dict(iterations=5, margin=.3))
    assert PseudoMaskCache.key(**{**RECIPE, **same}) == KEY
    # The parts do not run into each other.
    assert PseudoMaskCache.key(**{
        **RECIPE, 'labels': [1, 0], 'ignore_flags': []
    }) != PseudoMaskCache.key(**{
        **RECIPE, 'labels': [1], 'ignore_flags': [0]
    })


def test_what_is_damaged_is_noticed(cache):
    cache.put(KEY, mask_of(0, (6, 8)))
    path = cache.path(KEY)
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i])
        assert cache.get(KEY) is None, i
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x41]) + whole[i + 1:])
        found = cache.get(KEY)  # a time stamp says nothing
        assert found is None or same(found, mask_of(0, (6, 8))), i
    path.write_bytes(b'no picture' * 50)
    assert cache.get(KEY) is None
    cache.put(KEY, mask_of(0, (6, 8)))
    assert same(cache.get(KEY), mask_of(0, (6, 8)))


def test_a_failed_write_leaves_nothing(cache, monkeypatch):
    def full(*args):
        raise OSError('No space left on device')

    cache.put(KEY, mask_of(0))
    monkeypatch.setattr(os, 'replace', full)
    cache.put(KEY, mask_of(1))
    assert len(list(cache.root.rglob('*.*'))) == 1
    assert same(cache.get(KEY), mask_of(1))  # from memory
    assert same(PseudoMaskCache(cache.root).get(KEY), mask_of(0))


def _key(i):
    return PseudoMaskCache.key(**{**RECIPE, 'labels': np.array([i])})


def _work(root, seed, start, bad):
    """Write and read a few keys; count the reads that are not right."""
    cache = PseudoMaskCache(root)
    rng = np.random.default_rng(seed)
    start.wait(60)
    for _ in range(300):
        i = int(rng.integers(4))
        if rng.random() < .5:
            cache.put(_key(i), mask_of(i, (100, 150)))
        found = cache.get(_key(i))
        bad.value += not same(found, mask_of(i, (100, 150)))


def test_writers_and_readers_do_not_disturb_each_other(tmp_path):
    for i in range(4):
        PseudoMaskCache(tmp_path).put(_key(i), mask_of(i, (100, 150)))
    # A spawned process would have to find this module again.
    context = multiprocessing.get_context('fork')
    start = context.Barrier(2)
    bad = [context.Value('i', 0) for _ in range(2)]
    workers = [
        context.Process(
            target=_work, args=(str(tmp_path), i, start, bad[i]),
            daemon=True)
        for i in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert [value.value for value in bad] == [0, 0]
    assert not list(tmp_path.rglob('*.tmp'))


def test_what_cannot_be_written_is_kept_in_memory(tmp_path, monkeypatch,
                                                  caplog):
    """A file where the folder should be refuses root, too."""
    (tmp_path / 'file').write_text('')
    cache = PseudoMaskCache(tmp_path / 'file' / 'cache')
    cache.put(KEY, mask_of(0))
    assert same(cache.get(KEY), mask_of(0))
    monkeypatch.setattr(os, 'access', lambda path, mode: path != tmp_path)
    said = []
    monkeypatch.setattr('mmbombo.weak_labels.cache.print_log',
                        lambda *args: said.append(args[0]))
    for _ in range(2):
        PseudoMaskCache(tmp_path / 'cache')
    assert said == [f'{tmp_path / "cache"} cannot be written: what belongs '
                    'there is kept in memory, and made anew by the next run']
