# Copyright (c) mmbombo contributors.
"""``dist_train.sh`` and ``dist_test.sh`` with two processes on the CPU."""
import json
import os

import pytest

#: Notes when the interpreter ends which threads of gloo are still there. They
#: abort the process where they ask for the interpreter after that.
PROBE = """
import atexit, os
from pathlib import Path

import yapf.yapflib.yapf_api

# it formats a config for the eye of a reader, for seconds
yapf.yapflib.yapf_api.FormatCode = lambda text, **style: (text, True)

def note_threads():
    tasks = Path('/proc/self/task').iterdir()
    names = [(x / 'comm').read_text() for x in tasks]
    folder = Path(os.environ['THREADS'])
    folder.mkdir(exist_ok=True)
    kept = ''.join(x for x in names if 'gloo' in x)
    (folder / str(os.getpid())).write_text(kept)

if 'RANK' in os.environ:
    atexit.register(note_threads)
"""


@pytest.fixture
def threads(tmp_path, environment, monkeypatch):
    """Names of gloo's threads at the end of each process that had a rank."""
    (tmp_path / 'sitecustomize.py').write_text(PROBE)  # runs first
    folder = tmp_path / 'threads'
    monkeypatch.setitem(environment, 'THREADS', str(folder))
    monkeypatch.setitem(
        environment, 'PYTHONPATH',
        os.pathsep.join([environment['PYTHONPATH'], str(tmp_path)]))

    def read():
        files = list(folder.iterdir())
        kept = [x.read_text() for x in files]
        for file in files:
            file.unlink()
        return kept

    return read


def test_two_processes_train_and_score_as_one(distributed, shapes, commands,
                                              make_config, logs, threads,
                                              tmp_path):
    # one by one: in a batch, padding depends on the neighbors
    config = make_config(
        tmp_path / 'run.py', shapes, iters=3, validate=True,
        options={
            'val_dataloader.batch_size': 1,
            'test_dataloader.batch_size': 1
        })
    work_dir = tmp_path / 'work'
    distributed('dist_train.sh', config, '--work-dir', work_dir)
    assert threads() == ['', '']
    rows = logs.read_scalars(work_dir)
    assert len(rows.train) == 3
    assert 'seg/mIoU' in rows.val[-1] and 'det/bbox_mAP' in rows.val[-1]

    checkpoint = work_dir / 'iter_3.pth'
    two, one = tmp_path / 'two.json', tmp_path / 'one.json'
    dump, analysis = tmp_path / 'dump.zip', tmp_path / 'analysis'
    distributed('dist_test.sh', config, checkpoint, '--out', two,
                '--work-dir', tmp_path / 'test', '--dump', dump)
    assert threads() == ['', '']
    done = commands.run('tools/analysis_tools/analyze_predictions.py', config,
                        dump, '--out', analysis)
    assert done.returncode == 0, done.output[-3000:]
    assert (analysis / 'metrics.json').read_text() == two.read_text()
    done = commands.run('tools/test.py', config, checkpoint, '--out', one,
                        '--work-dir', tmp_path / 'test')
    assert done.returncode == 0, done.output[-3000:]
    one, two = (json.loads(file.read_text()) for file in (one, two))
    for key, value in one.items():
        if key.startswith(('det/', 'seg/')):
            assert two[key] == pytest.approx(
                value, abs=1e-4, nan_ok=True), key
