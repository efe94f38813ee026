# Copyright (c) mmbombo contributors.
"""A sampler that gives every step of every rank the same mix of sources."""
from fractions import Fraction
from math import inf, lcm
from typing import Iterator, List, Optional, Sequence, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmbombo.registry import DATA_SAMPLERS
from mmbombo.utils import UserError
from ..draw_seed import SeededIndex
from ..source_tree import source_sizes


def images_per_source(batch_size: int,
                      source_ratio: Sequence[float]) -> List[int]:
    """Split a batch over sources in a given ratio, exactly, at least 1 each.

    Raises ``UserError`` if a number is not positive and finite, or with the
    nearest sizes that can be split exactly.
    """
    if not all(0 < ratio < inf for ratio in source_ratio):
        raise UserError(
            f'source_ratio={list(source_ratio)}: each number must be '
            'positive and finite; leave a source out of `datasets` to not '
            'draw from it')
    # Of the smallest, so that none is rounded to nothing.
    smallest_ratio = Fraction(min(source_ratio))
    shares = [
        (Fraction(ratio) / smallest_ratio).limit_denominator(10**6)
        for ratio in source_ratio
    ]
    scale = lcm(*(share.denominator for share in shares))
    whole = [int(share * scale) for share in shares]
    divisor = int(np.gcd.reduce(whole))
    whole = [count // divisor for count in whole]
    smallest = sum(whole)
    if batch_size < 1 or batch_size % smallest:
        below = batch_size // smallest * smallest
        nearest = [size for size in (below, below + smallest) if size > 0]
        raise UserError(
            f'batch_size={batch_size} cannot be split in the ratio '
            f'{list(source_ratio)} over {len(whole)} sources; the nearest '
            f'batch sizes that can are {" and ".join(map(str, nearest))}')
    return [count * batch_size // smallest for count in whole]


class _SourceStream:
    """The endless stream of one source: seeded permutations, end to end."""

    def __init__(self, seed: int, source: int, first_index: int, size: int,
                 shuffle: bool) -> None:
        self.key = (seed, source)
        self.first_index = first_index
        self.size = size
        self.shuffle = shuffle
        self._pass_number = -1
        self._order = np.empty(0, dtype=np.int64)

    def __getitem__(self, position: int) -> SeededIndex:
        """The draw at ``position``, counted over all ranks from the start."""
        pass_number, place = divmod(position, self.size)
        if pass_number != self._pass_number:
            self._order = self._permutation(pass_number)
            self._pass_number = pass_number
        return SeededIndex(self.first_index + int(self._order[place]),
                           self._draw_seed(position))

    def _permutation(self, pass_number: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.size)
        # The leading number keeps the two uses of the key apart.
        sequence = np.random.SeedSequence((0, *self.key, pass_number))
        return np.random.Generator(
            np.random.Philox(sequence)).permutation(self.size)

    def _draw_seed(self, position: int) -> int:
        sequence = np.random.SeedSequence((1, *self.key, position))
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


@DATA_SAMPLERS.register_module()
class PartialAnnotationSampler(Sampler):
    """Draw a fixed number of images of each source at every step.

    Each source has one endless stream of seeded permutations. Step ``t`` of
    ``w`` ranks takes the next ``w * n`` entries of a source's stream, of
    which rank ``r`` gets the ``r``-th block of ``n``. So all ranks have the
    same composition at each step (heads that reduce over ranks need that),
    and ``w`` ranks draw the images that one rank with a ``w`` times larger
    batch draws. An epoch is one pass over the longest source, counted in
    steps and rounded up; shorter sources are reshuffled and repeated.

    The indices are :class:`~mmbombo.datasets.SeededIndex`: data sets seed
    their transforms from them.

    Args:
        dataset (Sized): A :class:`~mmbombo.datasets.MixedSourceDataset`, or
            one source: a data set with ``annotation_kinds``.
        batch_size (int): Images of one step on one rank; must be the data
            loader's ``batch_size``.
        source_ratio (Sequence[float], optional): Share of each source in a
            batch. Defaults to None, equal shares.
        seed (int, optional): Seed shared by all ranks. Defaults to None, a
            random one that the ranks agree on.
        infinite (bool): Whether the stream never ends, for
            ``IterBasedTrainLoop``. ``EpochBasedTrainLoop`` needs False.
            Defaults to True.
        shuffle (bool): Whether to permute each pass. Defaults to True.

    Raises:
        TypeError: If the data set does not declare its sources, or is a
            wrapper or another library's concatenation, which hides them.
        UserError: If the batch cannot be split in the ratio, or a source is
            empty.
    """

    def __init__(self,
                 dataset: Sized,
                 batch_size: int,
                 source_ratio: Optional[Sequence[float]] = None,
                 seed: Optional[int] = None,
                 infinite: bool = True,
                 shuffle: bool = True) -> None:
        self.rank, self.world_size = get_dist_info()
        self.batch_size = batch_size
        self.infinite = infinite
        self.seed = sync_random_seed() if seed is None else seed
        sizes = source_sizes(dataset)
        if min(sizes) < 1:
            raise UserError(f'every source needs an image, sizes are {sizes}')
        if source_ratio is None:
            source_ratio = [1] * len(sizes)
        if len(source_ratio) != len(sizes):
            raise UserError(
                f'source_ratio={list(source_ratio)} has {len(source_ratio)} '
                f'numbers for {len(sizes)} sources')
        self.source_counts = images_per_source(batch_size, source_ratio)
        first_indices = np.cumsum([0] + sizes[:-1]).tolist()
        self._streams = [
            _SourceStream(self.seed, source, first, size, shuffle)
            for source, (first, size) in enumerate(zip(first_indices, sizes))
        ]
        self.steps_per_epoch = max(
            -(-size // (count * self.world_size))
            for size, count in zip(sizes, self.source_counts))
        self._first_epoch = 0
        self._epoch = 0
        self._skipped_steps = 0

    def __iter__(self) -> Iterator[SeededIndex]:
        """Yield the indices of this rank, batch after batch, grouped by
        source within a batch."""
        step = self._first_step()
        end = None if self.infinite else self._end_step()
        while end is None or step < end:
            yield from self._batch(step)
            step += 1

    def _first_step(self) -> int:
        if self.infinite:
            return self._skipped_steps
        epoch = self._first_epoch + self._epoch
        return epoch * self.steps_per_epoch + self._skipped_steps

    def _end_step(self) -> int:
        return (self._first_epoch + self._epoch + 1) * self.steps_per_epoch

    def _batch(self, step: int) -> Iterator[SeededIndex]:
        for stream, count in zip(self._streams, self.source_counts):
            start = (step * self.world_size + self.rank) * count
            for position in range(start, start + count):
                yield stream[position]

    def __len__(self) -> int:
        """Images of one epoch on this rank.

        An infinite stream has no end; its length is that of one epoch too.
        """
        return self.steps_per_epoch * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration draw ``epoch``, counted from the one that
        :meth:`skip` went to.

        Epochs continue the streams, so no two are alike. An infinite stream
        goes on by itself and ignores the call.
        """
        if self.infinite or epoch == self._epoch:
            return
        self._epoch = epoch
        self._skipped_steps = 0

    def skip(self, num_samples: int) -> None:
        """Start where this rank has already drawn so many images since the
        first epoch, as an uninterrupted run would be.

        Costs nothing: positions are computed, not played back.
        """
        if num_samples < 0 or num_samples % self.batch_size:
            raise UserError(
                f'num_samples={num_samples} is not a whole number of batches '
                f'of {self.batch_size}; is the data loader\'s batch_size the '
                'sampler\'s?')
        steps = num_samples // self.batch_size
        if self.infinite:
            self._skipped_steps = steps
            return
        self._first_epoch, self._skipped_steps = divmod(
            steps, self.steps_per_epoch)
        self._epoch = 0
