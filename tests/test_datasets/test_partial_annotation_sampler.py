# Copyright (c) mmbombo contributors.
import itertools
import pickle
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbombo.datasets import PartialAnnotationSampler, SeededIndex
from mmbombo.datasets.samplers import partial_annotation_sampler as module
from mmbombo.datasets.samplers.partial_annotation_sampler import \
    images_per_source
from mmbombo.utils import UserError


class FakeSources:

    def __init__(self, sizes):
        self.source_sizes = list(sizes)

    def __len__(self):
        return sum(self.source_sizes)


def make(sizes, rank=0, world_size=1, **kwargs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, 'get_dist_info', lambda: (rank, world_size))
        return PartialAnnotationSampler(FakeSources(sizes), **kwargs)


def draws(iterable, number):
    return [(int(index), index.draw_seed)
            for index in itertools.islice(iterable, number)]


def source_of(index, sizes):
    edges = list(itertools.accumulate(sizes))
    return next(s for s, edge in enumerate(edges) if index < edge)


SIZES = st.lists(st.integers(1, 23), min_size=1, max_size=4)


WORLDS = st.integers(1, 16)


@given(SIZES, st.data(), st.integers(0, 99), WORLDS)
@settings(max_examples=60)
def test_every_batch_of_every_rank_has_the_composition(sizes, data, seed,
                                                       world):
    counts = [data.draw(st.integers(1, 4)) for _ in sizes]
    batch = sum(counts)
    for rank in range(world):
        sampler = make(
            sizes, rank, world, batch_size=batch, source_ratio=counts,
            seed=seed)
        taken = [int(i) for i in itertools.islice(sampler, 5 * batch)]
        expected = [s for s, n in enumerate(counts) for _ in range(n)] * 5
        assert [source_of(i, sizes) for i in taken] == expected


@given(SIZES, WORLDS, st.booleans())
@settings(max_examples=40)
def test_ranks_together_draw_what_one_process_draws(sizes, world, shuffle):
    per_rank = 2 * len(sizes)
    common = dict(seed=5, shuffle=shuffle)
    alone = make(sizes, batch_size=world * per_rank, **common)
    ranks = [
        make(sizes, rank, world, batch_size=per_rank, **common)
        for rank in range(world)
    ]
    alone, ranks = iter(alone), [iter(sampler) for sampler in ranks]
    for _ in range(6):
        union = [
            draw for sampler in ranks for draw in draws(sampler, per_rank)
        ]
        # The same images with the same augmentation seeds.
        assert sorted(union) == sorted(draws(alone, world * per_rank))


@given(SIZES, WORLDS)
@settings(max_examples=40)
def test_ranks_end_an_epoch_at_one_step_and_miss_no_image(sizes, world):
    batch = 2 * len(sizes)
    ranks = [[*make(sizes, rank, world, batch_size=batch, infinite=False,
                    seed=5)]
             for rank in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    longest = sizes.index(max(sizes))
    taken = {int(x) for rank in ranks for x in rank}
    assert {x for x in taken if source_of(x, sizes) == longest} == {
        *range(sum(sizes[:longest]), sum(sizes[:longest + 1]))}


@given(SIZES, st.integers(0, 12))
@settings(max_examples=40)
def test_skip_continues_an_infinite_stream(sizes, steps):
    batch = 2 * len(sizes)
    whole = draws(make(sizes, batch_size=batch, seed=1), (steps + 4) * batch)
    resumed = make(sizes, batch_size=batch, seed=1)
    resumed.skip(steps * batch)
    assert draws(resumed, 4 * batch) == whole[steps * batch:]


@given(SIZES, st.integers(0, 30))
@settings(max_examples=40)
def test_skip_continues_a_finite_stream(sizes, steps):
    """As OneDL's loop does: skip, then set_epoch(1), (2) ... from there."""
    batch = len(sizes)

    def play(sampler, epochs):
        taken = []
        for epoch in range(epochs):
            if epoch:
                sampler.set_epoch(epoch)
            taken += [(int(i), i.draw_seed) for i in sampler]
        return taken

    kwargs = dict(batch_size=batch, seed=1, infinite=False)
    per_epoch = make(sizes, **kwargs).steps_per_epoch
    whole = play(make(sizes, **kwargs), steps // per_epoch + 3)
    resumed = make(sizes, **kwargs)
    resumed.skip(steps * batch)
    assert play(resumed, 3)[:per_epoch * batch] == \
        whole[steps * batch:(steps + per_epoch) * batch]


def test_epochs_of_a_finite_sampler_are_the_infinite_stream():
    sizes = [7, 3]
    infinite = draws(make(sizes, batch_size=4, seed=9), 3 * 16)
    sampler = make(sizes, batch_size=4, seed=9, infinite=False)
    # 7 images, 2 a step: 4 steps of 4 images.
    assert len(sampler) == 16
    taken = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        taken += [(int(i), i.draw_seed) for i in sampler]
    assert taken == infinite
    # A fresh process that resumes at epoch 2 needs nothing but set_epoch.
    resumed = make(sizes, batch_size=4, seed=9, infinite=False)
    resumed.set_epoch(2)
    assert [(int(i), i.draw_seed) for i in resumed] == taken[32:]


def test_a_pass_is_a_permutation_and_passes_differ():
    sampler = make([10, 4], batch_size=2, seed=0)
    first = [int(i) for i in itertools.islice(sampler, 40)][::2]
    assert sorted(first[:10]) == sorted(first[10:]) == list(range(10))
    assert first[:10] != first[10:]


def test_epoch_length_counts_steps_of_the_scarcest_share():
    # 30 images at 1 a step and 40 at 3 a step: 30 steps against 14.
    sampler = make(
        [30, 40], batch_size=4, source_ratio=[1, 3], seed=0, infinite=False)
    assert sampler.steps_per_epoch == 30
    assert len(sampler) == 120 == len(list(sampler))
    assert make([30, 40], 1, 4, batch_size=2, seed=0).steps_per_epoch == 10


def test_seeds_differ_between_draws_and_depend_on_the_seed():
    taken = draws(make([4, 4], batch_size=2, seed=0), 64)
    seeds = [seed for _, seed in taken]
    assert len(set(seeds)) == 64
    assert not set(seeds) & {
        seed
        for _, seed in draws(make([4, 4], batch_size=2, seed=1), 64)
    }


def test_no_shuffle_keeps_the_order():
    sampler = make([3, 2], batch_size=2, seed=0, shuffle=False)
    assert [int(i) for i in itertools.islice(sampler, 8)] == \
        [0, 3, 1, 4, 2, 3, 0, 4]


def test_seeded_index_is_an_int_and_survives_pickling():
    index = pickle.loads(pickle.dumps(SeededIndex(7, 11)))
    assert index == 7 and [*range(9)][index] == 7
    assert index.draw_seed == 11 and type(index) is SeededIndex


@pytest.mark.parametrize('ratio, batch, counts', [
    ([1, 1], 12, [6, 6]),
    ([1, 2], 12, [4, 8]),
    ([2, 4], 6, [2, 4]),
    ([0.5, 0.25, 0.25], 8, [4, 2, 2]),
    ([0.1, 0.2], 3, [1, 2]),
    ([5], 3, [3]),
])
def test_batches_are_split_exactly(ratio, batch, counts):
    assert images_per_source(batch, ratio) == counts


@pytest.mark.parametrize('ratio, batch, nearest', [
    ([1, 1], 5, '4 and 6'),
    ([1, 1], 1, 'are 2'),
    ([1, 2], 8, '6 and 9'),
    ([2, 3], 4, 'are 5'),
])
def test_impossible_ratio_names_the_nearest_batch_sizes(ratio, batch, nearest):
    with pytest.raises(ValueError, match=nearest):
        images_per_source(batch, ratio)


def test_a_tiny_share_is_not_rounded_to_nothing():
    with pytest.raises(ValueError, match='that can are 10000001'):
        images_per_source(4, [1e-7, 1])
    assert images_per_source(1001, [.001, 1]) == [1, 1000]


@pytest.mark.parametrize('ratio', [[1, 0], [1, -1], [1, float('nan')],
                                   [1, float('inf')]])
def test_a_share_of_nothing_is_refused(ratio):
    with pytest.raises(ValueError, match='must be positive'):
        make([3, 3], batch_size=4, source_ratio=ratio)


def test_ratio_must_name_every_source():
    with pytest.raises(ValueError, match='3 numbers for 2 sources'):
        make([3, 3], batch_size=6, source_ratio=[1, 1, 1])


def test_empty_source_is_refused():
    with pytest.raises(ValueError, match='every source needs an image'):
        make([3, 0], batch_size=4)


def test_skip_of_part_of_a_batch_is_refused():
    with pytest.raises(ValueError, match='whole number of batches'):
        make([3, 3], batch_size=4).skip(6)


class Source(list):
    """A data set that declares what it is annotated with."""
    annotation_kinds = ('bbox', )


def test_a_declared_data_set_is_one_source():
    sampler = PartialAnnotationSampler(Source([0] * 6), batch_size=3, seed=2)
    taken = [int(i) for i in itertools.islice(sampler, 6)]
    assert sorted(taken) == list(range(6))
    assert sampler.batch_size == 3


def test_what_declares_nothing_is_refused():
    with pytest.raises(UserError, match='list .*PartialAnnotationDataset'):
        PartialAnnotationSampler([0] * 6, batch_size=3)


def test_onedl_loop_skips_without_loading(monkeypatch):
    """The real resume path, where this mmengine has it."""
    loops = pytest.importorskip('mmengine.runner.loops')
    iterator_type = loops._InfiniteDataloaderIterator
    if not hasattr(iterator_type, 'skip_iter'):
        pytest.skip('this mmengine advances the data loader by loading')
    from torch.utils.data import DataLoader
    loaded = []

    class Recorder(FakeSources):

        def __getitem__(self, index):
            loaded.append(int(index))
            return int(index)

    def loader():
        data = Recorder([5, 4])
        return DataLoader(
            data,
            batch_size=4,
            sampler=PartialAnnotationSampler(
                data, batch_size=4, seed=3, infinite=False))

    whole = iterator_type(loader())
    monkeypatch.setattr(loops, 'time', SimpleNamespace(sleep=lambda _: None))
    expected = [next(whole).tolist() for _ in range(12)]
    loaded.clear()
    resumed = iterator_type(loader())
    resumed.skip_iter(7)
    assert [next(resumed).tolist() for _ in range(5)] == expected[7:]
    assert loaded == sum(expected[7:], [])
