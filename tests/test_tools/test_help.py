# Copyright (c) mmbombo contributors.
"""``--help`` of every tool answers before the libraries are imported."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
TOOLS = sorted(
    path for folder in ('tools', 'demo')
    for path in (REPO / folder).rglob('*.py')
    if "if __name__ == '__main__':" in path.read_text(encoding='utf-8'))
#: What takes seconds to import.
SLOW = {'torch', 'mmcv', 'mmdet.models', 'mmdet.datasets', 'mmseg.models'}
#: Runs a script, then prints which of them it has imported.
ASK = """
import runpy, sys
script = sys.argv[1]
sys.argv[:] = [script, '--help']
sys.path[0] = script.rpartition('/')[0]
try:
    runpy.run_path(script, run_name='__main__')
except SystemExit as ended:
    print('\\nended', ended.code, *sorted(sys.modules))
"""


@pytest.mark.parametrize(
    'tool', TOOLS, ids=[path.relative_to(REPO).as_posix() for path in TOOLS])
def test_help_imports_no_library(tool, tmp_path):
    done = subprocess.run([sys.executable, '-c', ASK, tool.as_posix()],
                          cwd=tmp_path, capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(REPO)))
    assert 'usage:' in done.stdout, done.stderr
    ended, status, *modules = done.stdout.splitlines()[-1].split()
    assert (ended, status) == ('ended', '0')
    assert not SLOW.intersection(modules)
