# Copyright (c) mmbombo contributors.
"""The benchmark command: its rows, not its times."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools' / 'analysis_tools'
CONFIG = 'bombo_mobilenetv2_fpn-gfl_photo-stamps'


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))


def run(*args):
    return subprocess.run(
        [sys.executable, TOOLS / 'benchmark.py', *args], capture_output=True,
        text=True, env=dict(os.environ, PYTHONPATH=str(ROOT)))


def test_rows():
    done = run(CONFIG, 'joint_step', 'inference', 'weak_losses', '--size',
               '64', '--repeats', '1', '--batch', '1')
    assert done.returncode == 0, done.stderr
    names = re.findall(r'^(.*): [\d.]+ \([\d.]+ to [\d.]+\), .* ms, n = 1$',
                       done.stdout, re.MULTILINE)
    assert names == ['joint_step, 2 images', 'inference, 1 images',
                     'inference, 4 images', 'weak_losses, 2 images']


def test_network_that_no_library_has_is_told():
    done = run('bombo_r18_cem-fpn_anchor_voc', 'joint_step')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'mmdet does not have' in done.stderr


def test_ratio_is_of_neighbors(monkeypatch):
    """A machine that gets ten times slower midway changes nothing."""
    from argparse import Namespace

    import benchmark
    times = iter([9, 9, 4, 2, 4, 2, 40, 20, 40, 20, 60, 20])
    monkeypatch.setattr(benchmark, 'milliseconds', lambda *_: next(times))
    row = benchmark.measure(Namespace(repeats=5, device='cpu'), 'a', None,
                            None)
    assert row == 'a: 2.000 (2.000 to 2.000), 40.0 / 20.0 ms, n = 5'


def test_machine_and_commit_are_named(tmp_path, monkeypatch):
    from provenance import commit, machine, platform, processor
    info = tmp_path / 'cpuinfo'
    assert processor(info) == platform.machine()
    info.write_text('processor\t: 0\nmodel name\t: CPU: 2 GHz\n' * 2)
    assert processor(info) == 'CPU: 2 GHz'
    assert machine()['device'] == processor()
    monkeypatch.setenv('PATH', '')  # without git
    assert commit() == 'unknown'
