# Copyright (c) mmbombo contributors.
"""The benchmark command: its rows, not its times."""
import json
import multiprocessing
import os
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmbombo.datasets.voc_xml import parse_xml
from mmbombo.testing import CLASSES, write_voc

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools' / 'analysis_tools'
NOTES = ROOT / 'docs' / 'en' / 'notes'
MODEL = 'mobilenetv2_fpn-gfl'
BENCHMARKS = ('joint_step', 'inference', 'validation', 'bombo_naive_own',
              'bombo_naive_all', 'training_memory', 'split_merge',
              'pseudo_masks', 'pipeline', 'start_up', 'growth')


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setenv('PHOTO_STAMPS_SHORT_SIDE', '64')


@pytest.fixture
def data(tmp_path):
    """PhotoStamps' layout; the true mask of an object is its box."""
    root = write_voc(tmp_path / 'voc', num_images=8)
    names = Config.fromfile(
        ROOT / 'configs/_base_/datasets/photo_stamps.py').det_classes
    (root / 'classes.txt').write_text('\n'.join(names))
    lists = root / 'ImageSets' / 'Main'
    for name in ('det', 'seg'):
        (lists / f'{name}_train.txt').write_text(
            (lists / 'train.txt').read_text())
    (root / 'SegmentationObject').mkdir()
    for path in (root / 'Annotations').iterdir():
        objects = np.zeros((80, 96), np.uint8)
        for number, node in enumerate(parse_xml(str(path)).iter('bndbox'), 1):
            x1, y1, x2, y2 = (int(side.text) for side in node)
            objects[y1 - 1:y2, x1 - 1:x2] = number
        cv2.imwrite(
            str(root / 'SegmentationObject' / f'{path.stem}.png'), objects)
        text = path.read_text()
        for old, new in zip(CLASSES, names):
            text = text.replace(f'>{old}<', f'>{new}<')
        path.write_text(text)
    return root


@pytest.fixture
def options(data):
    """The smallest of everything."""
    return Namespace(data=data, images=2, model=MODEL, batch=2, size=64,
                     repeats=1, threads=1, device='cpu')


@pytest.mark.parametrize('name', BENCHMARKS)
def test_rows(options, name, monkeypatch):
    import benchmarks
    from benchmarks import rows
    monkeypatch.setattr(
        rows, 'in_turn', lambda *sides: [[rows.milliseconds(side)]
                                         for side in sides[:2]])
    function = benchmarks.load(name)
    if name == 'start_up':  # the imports are not the matter of this test
        monkeypatch.setitem(function.__globals__, 'get_context',
                            lambda _: multiprocessing.get_context('fork'))
    if name == 'growth':
        monkeypatch.setitem(function.__globals__, 'LARGE', (80, 96))
    found = list(function(options))
    recorded = [row['name'] for row in recorded_rows()]
    assert found and all(row['name'] in recorded for row in found)
    for row in found:
        assert row['quartiles'][0] <= row['ratio'] <= row['quartiles'][1]
        assert np.isfinite(row['ratio']) and row['goal'] > 0
    assert benchmarks.BENCHMARKS.keys() == {*BENCHMARKS}


def test_command_writes_rows(data, tmp_path):
    out = tmp_path / 'out' / 'rows.json'
    done = subprocess.run(
        [sys.executable, TOOLS / 'benchmark.py', 'pseudo_masks', '--data',
         data, '--images', '2', '--json', out], capture_output=True,
        text=True, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert done.returncode == 0, done.stderr
    first, second = json.loads(out.read_text())
    assert first['name'] in done.stdout and second['ratio'] == 1
    assert 'benchmark.py pseudo_masks' in first['run']['command']
    assert '| pseudo_masks_iou | 1 |' in out.with_suffix('.md').read_text()


def test_missing_data_is_told(options):
    from benchmarks import load
    options.data = Path('nowhere')
    with pytest.raises(SystemExit, match='nowhere/classes.txt is missing'):
        next(load('pipeline')(options))


def test_one_row_per_name(tmp_path):
    from benchmarks.rows import continue_file, make_row
    run = dict(command='A', commit='abc', date='today', device='cpu', cores=2,
               load=0., threads=1, python='3.11', versions=dict(torch='2'))
    for name, ratios, command in (('first', [.5], 'A'), ('second', [3.], 'B'),
                                  ('first', [.7, .8], 'B')):
        row = make_row(name, 'a / b', 1., ratios, [('a', [1., 1234.])])
        continue_file(tmp_path / 'x.json', dict(row, run=dict(
            run, command=command)))
    text = (tmp_path / 'x.md').read_text()
    assert ('| first | 0.75 | 0.725 to 0.775 | 0.7 to 0.8 | 1 | reached | '
            'a / b, a 617.5 ms, n = 2 | 1 |') in text
    assert '| second | 3 | 3 | 3 | 1 | **missed** |' in text
    assert '1. `B`: today, commit abc; cpu, 2 cores' in text
    assert '`A`' not in text


def recorded_rows():
    return json.loads((NOTES / 'performance.json').read_text())


def test_recorded_rows_are_current():
    """One row a name, the table is that of the rows, and what the docs tell to
    run exists."""
    from benchmarks.rows import document
    rows = recorded_rows()
    assert document(rows) == (NOTES / 'performance.md').read_text()
    assert len({row['name'] for row in rows}) == len(rows)
    files = [*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'),
             *ROOT.glob('configs/**/*.md'), *ROOT.glob('mmbombo/**/*.py')]
    told = re.findall(r'benchmark\.py((?: [a-z]+_?[a-z_]*)+)', '\n'.join(
        file.read_text() for file in files if file.stem != 'CHANGELOG'))
    names = {name for names in told for name in names.split()}
    assert names and names <= {*BENCHMARKS}


def test_ratio_is_of_neighbors(monkeypatch):
    """A machine that gets ten times slower midway changes nothing."""
    from benchmarks import rows
    times = iter([9, 9, 4, 2, 4, 2, 40, 20, 40, 20, 60, 20])
    monkeypatch.setattr(rows, 'milliseconds', lambda side, _: next(times))
    row = rows.compare(Namespace(repeats=5, device='cpu'), 'name', 'text', 2.,
                       a=None, b=None)
    assert row['ratio'] == 2 and row['quartiles'] == [2, 2] and row['ok']
    assert row['text'] == 'text, a 40 ms, b 20 ms, n = 5'


def test_two_sides_take_turns():
    from benchmarks.rows import in_turn
    calls = []
    times = in_turn(lambda: calls.append('a'), lambda: calls.append('b'), 3,
                    'cpu')
    assert ''.join(calls) == 'ab' * 4, 'the first pair warms up'
    assert [len(side) for side in times] == [3, 3]


def test_interval_is_of_the_median():
    from benchmarks.rows import interval_of
    low, high = interval_of(np.random.default_rng(1).normal(1, .1, 2000))
    # 1.96 standard errors of the median, 1.2533 * sigma / sqrt(n), each way
    assert low < 1 < high and high - low == pytest.approx(.011, rel=.2)


def test_different_networks_are_not_timed(options, monkeypatch):
    from benchmarks import joint
    build = joint.build_ours

    def build_ours(options):
        model = build(options)
        model.task_heads.seg.head.conv_seg.register_forward_hook(
            lambda module, inputs, output: output + torch.rand_like(output))
        return model

    monkeypatch.setattr(joint, 'build_ours', build_ours)
    with pytest.raises(RuntimeError, match='losses of both sides differ'):
        next(joint.joint_step(options))


def test_naive_all_runs_heads_on_all_images(options):
    from benchmarks import joint, networks
    batch = networks.own_batch(options)
    naive_all = networks.build_naive_all(options).eval()
    loss = joint.sum_of_losses(networks.build_ours(options).eval(), batch)
    seen = []
    naive_all.task_heads.seg.head.register_forward_hook(
        lambda *args: seen.append(len(args[2])))
    assert joint.sum_of_losses(naive_all, batch) == pytest.approx(
        loss, rel=1e-4)
    assert seen == [4], 'once'


def test_floors(options, monkeypatch):
    from benchmarks import networks
    parts = dict(backbone=15, neck=5, det=5, seg=15)
    monkeypatch.setattr(networks, 'complexity', lambda *args: [
        Namespace(name=name, multiply_adds=cost)
        for name, cost in parts.items()
    ])
    assert networks.floors(options) == dict(inference=40 / 60, bombo=40 / 30)


def test_floor_of_memory():
    from benchmarks.joint import memory_row
    row = memory_row('name', 10, 70, 18, 78)
    assert 'floor 0.897' in row['text'] and row['ratio'] == .8974 and row['ok']


def test_peak_of_memory_is_what_is_held_at_once():
    from benchmarks.networks import peak_memory

    def two_of_three():
        first = torch.zeros(1000, 256)
        second = first + 1
        del first
        return second + 1

    # the profiler also sees the few bytes of the scalars
    resident, held = 10**6, 2 * 1000 * 256 * 4
    assert peak_memory(two_of_three, 'cpu', resident) == pytest.approx(
        resident + held, abs=1000)


def test_tuned_and_reported_images_are_different():
    from benchmarks.files import for_reports
    names = [f'det_{i:06d}' for i in range(800)]
    reported = [name for name in names if for_reports(name)]
    assert 350 < len(reported) < 450
    # Fixed for good: figures of different dates are of the same images.
    assert reported[:3] == ['det_000001', 'det_000002', 'det_000005']


def test_machine_and_commit_are_named(tmp_path, monkeypatch):
    from provenance import commit, machine, platform, processor
    info = tmp_path / 'cpuinfo'
    assert processor(info) == platform.machine()
    info.write_text('processor\t: 0\nmodel name\t: CPU: 2 GHz\n' * 2)
    assert processor(info) == 'CPU: 2 GHz'
    assert machine()['device'] == processor()
    monkeypatch.setenv('PATH', '')  # without git
    assert commit() == 'unknown'
