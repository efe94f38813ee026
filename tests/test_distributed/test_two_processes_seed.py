# Copyright (c) mmbombo contributors.
"""Without a seed, two processes agree on one and share out the images."""
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from toolbox import gloo_process

from mmbombo.datasets.samplers import PartialAnnotationSampler

IMAGES = 40


def worker(rank, folder):
    np.random.seed(rank)
    with gloo_process(rank):
        sampler = PartialAnnotationSampler(
            SimpleNamespace(source_sizes=[IMAGES]), batch_size=4)
        share = [int(i) for i in itertools.islice(sampler, IMAGES // 2)]
    Path(folder, f'{rank}.json').write_text(json.dumps([sampler.seed, share]))


def test_seed_is_that_of_both(run_two_processes, tmp_path):
    run_two_processes(__file__, str(tmp_path))
    (seed, share), (other_seed, other_share) = (
        json.loads((tmp_path / f'{rank}.json').read_text())
        for rank in range(2))
    assert seed == other_seed
    assert sorted(share + other_share) == list(range(IMAGES))


if __name__ == '__main__':
    worker(int(sys.argv[1]), *sys.argv[2:])
