# Copyright (c) mmbombo contributors.
"""What tools/analysis_tools/memory.py counts."""
import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from toolbox import load_script

from mmbombo.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/infopro/infopro_r32_photo-stamps-crops.py'


@pytest.fixture
def memory():
    return load_script(ROOT / 'tools/analysis_tools/memory.py')


def rows_of(memory):
    """Networks by the ways to train them."""
    cfg = Config.fromfile(CONFIG)
    return {
        name: MODELS.build(dict(cfg.model, backbone=backbone)).train()
        for name, backbone in memory.ways(cfg, [3])
    }


def resident(key):
    """Bytes of this process: VmRSS, now, or VmHWM, at most."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])


def peak_of_process(fn):
    """How much the process grows, at most, by the kernel's account."""
    ctypes.CDLL(None).malloc_trim(0)
    Path('/proc/self/clear_refs').write_text('5')  # forget the peak
    before = resident('VmRSS')
    fn()
    return resident('VmHWM') - before


def test_rows_and_their_needs(memory):
    rows = rows_of(memory)
    found = {
        name: memory.need(model, 8, (32, 32), 'cpu')
        for name, model in rows.items()
    }
    first, checkpointing, own, star = found.values()
    assert own.keys() == {'activations', 'parameters', 'gradients'}
    assert first['parameters'] == first['gradients'] == sum(
        4 * p.numel() for p in rows['end to end'].parameters())
    shares = [
        x['activations'] / first['activations']
        for x in (checkpointing, own, star)
    ]
    # two modules of equal numbers of blocks, three of equal memory
    assert shares[0] < .5 < shares[1] < .9 and shares[2] < .6
    assert own['parameters'] > first['parameters']


@pytest.mark.skipif(
    not Path('/proc/self/clear_refs').exists(), reason='asks Linux')
def test_count_is_what_the_process_needs():
    # a process that has run other tests has memory of theirs to reuse
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    subprocess.run([sys.executable, __file__], env=env, check=True)


def compare_with_process():
    """Raise if what is counted is not what this process needs."""
    # give all large pieces of memory back to the system at once
    ctypes.CDLL(None).mallopt(-3, 2**16)  # M_MMAP_THRESHOLD
    init_default_scope('mmbombo')
    memory = load_script(ROOT / 'tools/analysis_tools/memory.py')
    models = rows_of(memory)
    for name in ('end to end', 'InfoPro*, K = 3'):
        model = models[name]
        counted = memory.need(model, 48, (32, 32), 'cpu')['activations']
        inputs, samples = memory.noise(model, 48, (32, 32))
        grown = peak_of_process(lambda: memory.step(model, inputs, samples))
        # operators allocate for themselves too, which nobody counts
        assert counted <= grown < 1.1 * counted + 2**25, (name, counted, grown)


if __name__ == '__main__':
    compare_with_process()
