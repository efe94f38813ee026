# Copyright (c) mmbombo contributors.
"""A long training takes no more memory and handles than a short one.

``MMBOMBO_STEPS=5000 pytest -s tests/test_end_to_end/test_soak.py``
"""
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

STEPS = int(os.environ.get('MMBOMBO_STEPS', 0))


def everything_on(cfg):
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.custom_hooks = [dict(type='PredictorEMAHook', momentum=0.1)]
    cfg.train_cfg.val_interval = 50
    cfg.default_hooks.logger.interval = 20
    cfg.default_hooks.checkpoint.update(interval=50, max_keep_ckpts=1)


def rss(pid):
    """Mebibytes of a process."""
    pages = int(Path(f'/proc/{pid}/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20


def measure(pid, work_dir):
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    logs = [x for x in work_dir.rglob('*') if x.suffix in ('.log', '.json')]
    return dict(
        main=rss(pid), workers=sum(map(rss, children)),
        handles=len(os.listdir(f'/proc/{pid}/fd')),
        shared=len(os.listdir('/dev/shm')),
        files=len([*work_dir.glob('*.pth')]),
        log=sum(x.stat().st_size for x in logs) / 2**20)


@pytest.mark.skipif(not STEPS, reason='takes long')
def test_nothing_grows(shapes, make_config, environment, repo, tmp_path):
    config = make_config(tmp_path / 'config.py', shapes, iters=STEPS,
                         validate=True, change=everything_on)
    work_dir, rows = tmp_path / 'run', []
    training = subprocess.Popen(
        [sys.executable, repo / 'tools/train.py', config, '--work-dir',
         work_dir], env={**os.environ, **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while training.poll() is None:
        time.sleep(2)
        steps = [x for log in work_dir.glob('*/*.log')
                 for x in log.read_text().split('Iter(train) [')[1:]]
        try:
            step = int(steps[-1].split('/')[0]) if steps else 0
            if STEPS / 5 < step < STEPS:  # at the last one, workers end
                rows.append(dict(step=step,
                                 **measure(training.pid, work_dir)))
        except (OSError, ValueError):  # it, or a worker, has just ended
            continue
    assert training.returncode == 0
    steps = [x.pop('step') for x in rows]
    for key in rows[0]:
        values = [x[key] for x in rows]
        slope = np.polyfit(steps, values, 1)[0] * 1000
        print(f'{key}: {np.median(values):.2f}, {slope:+.3f} in 1000 steps '
              f'({len(rows)} measurements, {STEPS} steps)', flush=True)
    for key, most in dict(main=20, handles=1, shared=5).items():
        slope = np.polyfit(steps, [x[key] for x in rows], 1)[0] * 1000
        assert slope < most, key
