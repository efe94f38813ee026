# Copyright (c) mmbombo contributors.
"""Rows of the result, and the measuring of two sides in turn."""
import time
from dataclasses import asdict, dataclass, field
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np


@dataclass
class Row:
    """One figure and its goal."""

    name: str
    #: Median of the ratios.
    ratio: float
    #: None where the ratio is only stated.
    goal: Optional[float]
    #: Whether a good ratio is 'at least' or 'at most' the goal.
    sense: str
    #: First and third quartile of the ratios.
    spread: Tuple[float, float]
    #: What is compared with what, in words.
    text: str
    #: What else has to hold, beside the ratio: name -> whether it does.
    conditions: Dict[str, bool] = field(default_factory=dict)
    #: Sizes and other figures, as printed.
    figures: Dict[str, object] = field(default_factory=dict)
    #: Raw times of either side, in milliseconds.
    times: Dict[str, List[float]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """The goal is reached and the conditions hold."""
        reached = self.goal is None or (
            self.ratio >= self.goal
            if self.sense == 'at least' else self.ratio <= self.goal)
        return bool(reached and all(self.conditions.values()))

    def as_json(self) -> dict:
        """Plain values."""
        times = {
            side: [round(value, 4) for value in values]
            for side, values in self.times.items()
        }
        return dict(asdict(self), ok=self.ok, times=times)

    def line(self) -> str:
        """For people."""
        low, high = self.spread
        goal = f', goal {self.sense} {self.goal:g}' if self.goal else ''
        parts = [
            f'{self.name}: {self.ratio:.3g} [{low:.3g}, {high:.3g}]{goal}: '
            f'{"ok" if self.ok else "MISSED"}',
            f'  {self.text}'
        ]
        parts += [
            f'  median {side}: {np.median(values):.3g} ms'
            for side, values in self.times.items()
        ]
        parts += [f'  {key}: {value}' for key, value in self.figures.items()]
        parts += [
            f'  {key}: {"yes" if holds else "NO"}'
            for key, holds in self.conditions.items()
        ]
        return '\n'.join(parts)


def require_same(same: bool, what: str) -> None:
    """Refuse to time two sides that do not do the same.

    Raises:
        RuntimeError: If they do not.
    """
    if not same:
        raise RuntimeError(f'{what} of ours and of the baseline differ; '
                           'nothing is timed')


def timed(function: Callable, *args):
    """Milliseconds that a call takes, and what it returns."""
    start = time.perf_counter()
    result = function(*args)
    return (time.perf_counter() - start) * 1e3, result


def in_turn(first: Callable[[], object], second: Callable[[], object],
            repeats: int) -> Tuple[List[float], List[float]]:
    """Time two functions, A B A B, after one call of each.

    Args:
        first (Callable): Without arguments; on a GPU it has to wait for the
            device itself.
        second (Callable): Likewise.
        repeats (int): Pairs.

    Returns:
        tuple: Milliseconds of each call, of either.
    """
    return alternate(lambda: timed(first)[0], lambda: timed(second)[0],
                     repeats)


def alternate(first: Callable[[], float], second: Callable[[], float],
              repeats: int) -> Tuple[List[float], List[float]]:
    """As :func:`in_turn`, of functions that return their milliseconds."""
    first(), second()
    times = [(first(), second()) for _ in range(repeats)]
    return [a for a, _ in times], [b for _, b in times]


def ratio_of(above: Sequence[float],
             below: Sequence[float]) -> Tuple[float, Tuple[float, float]]:
    """Median and quartiles of the ratios of neighbors."""
    ratios = np.asarray(above, float) / np.asarray(below, float)
    low, middle, high = np.percentile(ratios, (25, 50, 75))
    return float(middle), (float(low), float(high))


def interval_of(above: Sequence[float],
                below: Sequence[float],
                resamples: int = 2000) -> Tuple[float, float]:
    """95 % bootstrap interval of the median of the ratios of neighbors.

    The quartiles of :func:`ratio_of` say how much a ratio varies; this says
    how well their median is known, and gets narrower with more repeats.

    Args:
        above (Sequence[float]): Times of one side.
        below (Sequence[float]): Times of the other, as many.
        resamples (int): Draws of as many ratios, with replacement. Defaults
            to 2000.

    Returns:
        tuple[float, float]: Both ends; the same ones each time.
    """
    ratios = np.asarray(above, float) / np.asarray(below, float)
    drawn = np.random.default_rng(0).choice(ratios, (resamples, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return float(low), float(high)
