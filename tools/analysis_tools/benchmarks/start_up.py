# Copyright (c) mmbombo contributors.
"""The start of training, in fresh processes: ours against mmdet's.

Import, data set index, build, and the first step, on the same images and as
many of them, through MMEngine's Runner with the default hooks. Ours reads
boxes of one list and masks of the other; MMDetection reads boxes of both.
Pseudo masks and the index of ours are made ahead. Neither validates.
"""
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Dict, List

import numpy as np

from .rows import Row, in_turn, ratio_of
from .stock import NETWORKS
from .voc_sources import LISTS

TOOLS = Path(__file__).resolve().parents[1]
ROOT = TOOLS.parents[1]
#: Processes are slow to start, and alike.
MAX_REPEATS = 5


def run(options: Namespace) -> List[Row]:
    """Start both in turn; the first start of ours makes the pseudo masks, and
    the index of the files that it opens and checks."""
    with TemporaryDirectory() as cache:
        parts: Dict[str, List[dict]] = dict(ours=[], mmdet=[])
        ours_ms, mmdet_ms = in_turn(
            starter('ours', options, cache, parts),
            starter('mmdet', options, cache, parts),
            min(options.repeats, MAX_REPEATS))
    ratio, spread = ratio_of(ours_ms, mmdet_ms)
    images = sum(
        len((options.data / name).read_text().split())
        for name in LISTS.values())
    return [
        Row(f'start_up_{options.model}',
            ratio,
            1.1,
            'at most',
            spread,
            'time of a process that starts training / of mmdet',
            figures={
                'network': NETWORKS[options.model],
                'images listed': images,
                'images of the first step': 2 * options.batch,
                'threads': options.threads,
                **{
                    f'seconds, {side}': medians(found)
                    for side, found in parts.items()
                }, 'seconds, first start of ours': parts['ours'][0]
            },
            times=dict(ours=ours_ms, mmdet=mmdet_ms))
    ]


def starter(side: str, options: Namespace, cache: str,
            parts: Dict[str, List[dict]]) -> Callable:
    """What starts a process, and notes the times of its parts."""
    given = dict(
        data=str(options.data.resolve()),
        model=options.model,
        batch=options.batch,
        threads=options.threads,
        cache=cache)

    def start() -> None:
        parts[side].append(start_process(side, given, options.device))

    return start


def start_process(side: str, given: dict, device: str) -> Dict[str, float]:
    """Start training in a process of its own.

    Args:
        side (str): 'ours' or 'mmdet'.
        given (dict): Options of ``start_child``.
        device (str): 'cpu' hides a GPU, which MMEngine would take.

    Returns:
        dict[str, float]: Seconds of its parts.

    Raises:
        RuntimeError: With its output, if the process fails.
    """
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    if device == 'cpu':
        environment['CUDA_VISIBLE_DEVICES'] = ''
    done = subprocess.run([
        sys.executable, '-m', 'benchmarks.start_child', side,
        json.dumps(given)
    ],
                          cwd=TOOLS,
                          env=environment,
                          capture_output=True,
                          text=True)
    if done.returncode:
        raise RuntimeError(f'the start of {side} failed:\n{done.stderr}')
    return json.loads(done.stdout.splitlines()[-1])


def medians(found: List[dict]) -> Dict[str, float]:
    """Median of each part, without the first process."""
    return {
        part: round(float(np.median([one[part] for one in found[1:]])), 2)
        for part in found[0]
    }
