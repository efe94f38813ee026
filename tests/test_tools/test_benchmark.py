# Copyright (c) mmbombo contributors.
"""The benchmark command: its rows, not its times."""
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmbombo.datasets.voc_xml import parse_xml
from mmbombo.testing import CLASSES, write_voc

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ROOT / 'tools' / 'analysis_tools' / 'benchmark.py'


def run(*args):
    return subprocess.run([sys.executable, str(COMMAND), *map(str, args)],
                          cwd=ROOT, env=dict(os.environ, PYTHONPATH=str(ROOT)),
                          capture_output=True, text=True)


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.syspath_prepend(str(COMMAND.parent))
    from benchmarks import rows
    return rows


@pytest.fixture
def data(tmp_path):
    """PhotoStamps' layout; the true mask of an object is its box."""
    root = write_voc(tmp_path / 'voc', num_images=8)
    lists = root / 'ImageSets' / 'Main'
    (lists / 'train.txt').rename(lists / 'det_train.txt')
    (root / 'classes.txt').write_text('\n'.join(CLASSES))
    (root / 'SegmentationObject').mkdir()
    for path in (root / 'Annotations').iterdir():
        objects = np.zeros((80, 96), np.uint8)
        for number, node in enumerate(parse_xml(str(path)).iter('bndbox')):
            x1, y1, x2, y2 = (int(side.text) for side in node)
            objects[y1 - 1:y2, x1 - 1:x2] = number + 1
        cv2.imwrite(
            str(root / 'SegmentationObject' / f'{path.stem}.png'), objects)
    return root


def test_all_rows_in_the_promised_format(data, tmp_path):
    out = tmp_path / 'out' / 'rows.json'
    done = run('all', '--data', data, '--images', 2, '--repeats', 2, '--json',
               out)
    assert done.returncode == 0, done.stderr
    written = json.loads(out.read_text())
    assert written['meta']['threads'] == dict(torch=1, cv2=1)
    assert 'benchmark.py all' in written['meta']['command']
    by_name = {row['name']: row for row in written['rows']}
    assert {'cache_hit', 'pseudo_masks', 'split_merge_cpu'} <= set(by_name)
    for row in written['rows']:
        assert row['spread'][0] <= row['ratio'] <= row['spread'][1]
        assert row['goal'] > 0 and isinstance(row['ok'], bool)
        assert row['times'] and row['name'] in done.stdout

    loop = by_name['split_merge_cpu']
    assert loop['conditions'] == {'same result': True}
    outcome = loop['figures']['outcome']
    assert outcome['num_split'] > 60
    assert min(outcome[k] for k in ('num_merged', 'num_direct')) > 20
    masks = by_name['pseudo_masks']
    assert masks['figures']['images, boxes'][0] == 2
    assert all(.1 < iou <= 1 for iou in masks['figures']['IoU'].values())


def test_help_lists_what_there_is(rows):
    from benchmarks import load, names, summary
    shown = run('--help').stdout
    assert {'cache_hit', 'pseudo_masks', 'split_merge'} <= set(names())
    for name in names():
        assert f'  {name} ' in shown and summary(name) in shown
        assert callable(load(name).run)


@pytest.mark.parametrize('args, message', [
    (('magic', ), 'magic'),
    ((), 'WHAT'),
    (('cache_hit', '--repeats', 0), '--repeats'),
    (('cache_hit', '--data', 'nowhere'), 'classes.txt is missing'),
])
def test_bad_arguments(args, message):
    done = run(*args)
    assert done.returncode != 0
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize('ratio, sense, conditions, ok', [
    (8.0, 'at least', {}, True),
    (7.9, 'at least', {}, False),
    (8.1, 'at most', {}, False),
    (7.9, 'at most', {'same': True}, True),
    (9.0, 'at least', {'same': True, 'good': False}, False),
])
def test_ok_needs_ratio_and_conditions(rows, ratio, sense, conditions, ok):
    row = rows.Row('name', ratio, 8., sense, (7., 9.), 'text', conditions)
    assert row.ok is ok
    assert row.as_json()['ok'] is ok
    assert ('MISSED' in row.line()) is not ok


def test_ratio_is_of_neighbours(rows):
    """A machine that gets ten times slower midway changes nothing."""
    ratio, spread = rows.ratio_of([4, 4, 40, 40, 60], [2, 2, 20, 20, 20])
    assert ratio == 2 and spread == (2, 2)
    assert rows.ratio_of([1, 2, 3], [1, 1, 1]) == (2, (1.5, 2.5))


def test_two_sides_take_turns(rows):
    calls = []
    times = rows.in_turn(lambda: calls.append('a'), lambda: calls.append('b'),
                         3)
    assert ''.join(calls) == 'ab' * 4, 'the first pair warms up'
    assert [len(side) for side in times] == [3, 3]


def test_tuned_and_reported_images_are_different(monkeypatch):
    monkeypatch.syspath_prepend(str(COMMAND.parent))
    from benchmarks.photo_stamps import for_reports
    names = [f'det_{i:06d}' for i in range(800)]
    reported = [name for name in names if for_reports(name)]
    assert 350 < len(reported) < 450
    # Fixed for good: figures of different dates are of the same images.
    assert reported[:4] == [
        'det_000001', 'det_000002', 'det_000005', 'det_000006'
    ]
