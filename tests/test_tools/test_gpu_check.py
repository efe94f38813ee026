# Copyright (c) mmbombo contributors.
"""The check for a GPU, in miniature, on the CPU."""
import json
import os
import subprocess
import sys
from pathlib import Path

from mmbombo.testing import load_script

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'misc' / 'gpu_check.py'


def test_parts_are_recorded_in_one_file(tmp_path):
    out = tmp_path / 'check.json'
    done = subprocess.run([
        sys.executable, TOOL, '--device', 'cpu', '--miniature', '--out', out,
        '--work-dir', tmp_path, '--only', 'data', 'train_fp32', 'copies',
        'loader'
    ],
                          env=dict(os.environ, OMP_WAIT_POLICY='PASSIVE'),
                          capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(out.read_text())
    assert report['versions']['torch'] and report['commit']
    parts = {part['name']: part for part in report['parts']}
    assert {part['status'] for part in parts.values()} == {'ok'}
    assert parts['train_fp32']['figures']['steps'] == 2
    assert parts['loader']['figures']['images_per_second'] > 0
    copies = parts['copies']['figures']
    assert copies['bombo']['aten::nonzero'] >= copies['naive']['aten::nonzero']


def test_what_fails_or_hangs_is_recorded(tmp_path):
    tool = load_script(TOOL)
    for code, limit, status in (('exit(3)', 20, 'failed with 3'),
                                ('import time; time.sleep(60)', 1,
                                 'stopped after 1 s')):
        part = tool.Part('part', [sys.executable, '-c', code], limit,
                         tmp_path / 'none')
        record = tool.run(part, limit, dict(os.environ), tmp_path / 'log')
        assert record['status'] == status and record['figures'] is None
