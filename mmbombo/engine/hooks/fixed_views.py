# Copyright (c) mmbombo contributors.
"""Does an image look the same whenever it is drawn?"""
import random
from typing import Any, Optional

import numpy as np
import torch

from mmbombo.datasets.draw_seed import SeededIndex, seeded_draw
from mmbombo.utils import UserError


def check_fixed_views(dataset: Any, model: Any, where: str) -> None:
    """Check that nothing random happens to an image before the network.

    What is looked at is whether a transform draws from the generators of
    Python, NumPy or torch, on the first image of each source.

    Args:
        dataset (Dataset): The training data set.
        model (MultiTaskDetector): The network in training.
        where (str): Who asks, for messages.

    Raises:
        UserError: If something is random; the message says what.
    """
    if model.batch_resize is not None:
        raise UserError(_refusal(where, 'the model has a batch_resize'))
    for source in getattr(dataset, 'datasets', [dataset]):
        step = random_step(source)
        if step is not None:
            name = getattr(source, 'source', type(source).__name__)
            raise UserError(
                _refusal(where, f"source '{name}' has {step} in its pipeline"))


def random_step(source: Any) -> Optional[str]:
    """Name of the first transform that draws a random number.

    Args:
        source (Dataset): A data set of MMEngine; of any other the whole is
            one step.

    Returns:
        str or None: None if nothing does.
    """
    steps, sample = [source.__getitem__], 0
    if hasattr(source, 'pipeline'):
        steps, sample = source.pipeline.transforms, source.get_data_info(0)
    with seeded_draw(SeededIndex(0, draw_seed=0)):
        for step in steps:
            before = _generators()
            sample = step(sample)
            if _generators() != before:
                return getattr(step, '__name__', type(step).__name__)
    return None


def _generators() -> tuple:
    """States of the generators that transforms use."""
    _, keys, *others = np.random.get_state()
    return (random.getstate(), keys.tobytes(), others,
            torch.get_rng_state().numpy().tobytes())


def _refusal(where: str, why: str) -> str:
    return (f'{where}: cache_dir is for images that always look the same, but '
            f'{why}, which draws random numbers: hardly an answer would be '
            'found again. Leave out either')
