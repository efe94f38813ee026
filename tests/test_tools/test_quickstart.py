# Copyright (c) mmbombo contributors.
"""The quick start does its steps in order, once, and resumes.

The programs that it calls are replaced by one that writes down its arguments
and leaves the files that the real one would leave.
"""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
ALL_STEPS = [
    'photo_stamps.py', 'mobilenet_v2.py', 'fill_caches.py',
    'print_config.py', 'train.py',
    'test.py', 'contact_sheet.py', 'print_metrics.py'
]
# Fast, and checked by the programs themselves or only prints.
EVERY_TIME = [
    'photo_stamps.py', 'fill_caches.py', 'print_config.py',
    'print_metrics.py'
]

PYTHON = r"""#!/bin/bash
[ "$1" != -c ] || { echo "${TORCH:-2.13.0}"; exit; }
script=$(basename "$1")
echo "$*" >>calls.txt
shift
words=("$@")
value() {
    for i in "${!words[@]}"; do
        [ "${words[$i]}" != "$1" ] || echo "${words[$((i + 1))]}"
    done
}
[ "$script" != "${BROKEN:-}" ] || { echo "broken on purpose"; exit 3; }
case "$script" in
    photo_stamps.py)
        mkdir -p "$(value --out)"
        echo "$*" >"$(value --out)/manifest.json" ;;
    print_config.py)
        date +%N  # as the time in a log line, it must not matter
        echo "$* ${SHAPES_ROOT:-}" >"$(value --save-path)" ;;
    train.py)
        mkdir -p "$(value --work-dir)"
        echo iter.pth >"$(value --work-dir)/last_checkpoint" ;;
    mobilenet_v2.py | test.py | contact_sheet.py)
        mkdir -p "$(dirname "$(value --out)")"
        touch "$(value --out)" ;;
    print_metrics.py) echo "THE TABLE" ;;
esac
"""


@pytest.fixture
def root(tmp_path):
    for folder in ('mmbombo', 'tools', '.venv/bin', '.venv-onedl/bin'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'mmbombo/code.py').write_text('first')
    for name in ('steps.sh', 'quickstart.sh'):
        shutil.copy(TOOLS / name, tmp_path / 'tools')
    (tmp_path / 'tools/setup_env.sh').write_text(
        'echo "setup_env $*" >>"$(dirname "$0")/../calls.txt"\n')
    for venv in ('.venv', '.venv-onedl'):
        python = tmp_path / venv / 'bin/python'
        python.write_text(PYTHON)
        python.chmod(0o755)
    return tmp_path


def quickstart(root, *options, broken='', torch='2.13.0+cpu'):
    """Run it; returns the process and the calls as lists of words."""
    calls = root / 'calls.txt'
    calls.unlink(missing_ok=True)
    done = subprocess.run(['bash', root / 'tools/quickstart.sh', *options],
                          cwd='/', env={
                              **os.environ, 'BROKEN': broken, 'TORCH': torch
                          }, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    return done, [line.split() for line in calls.read_text().splitlines()]


def names(calls):
    assert calls[0][0] == 'setup_env'
    return [Path(words[0]).name for words in calls[1:]]


def words_of(calls, script):
    words, = (w for w in calls if Path(w[0]).name == script)
    return words


def value(calls, script, option):
    words = words_of(calls, script)
    return words[words.index(option) + 1]


def test_all_steps_in_order_then_none_again(root):
    done, calls = quickstart(root)
    assert done.returncode == 0, done.stderr
    assert names(calls) == ALL_STEPS
    work_dir = value(calls, 'train.py', '--work-dir')
    # What is evaluated and drawn is what was trained.
    for script in ('test.py', 'contact_sheet.py'):
        assert words_of(calls, script)[2] == f'{work_dir}/iter.pth'
    again, calls = quickstart(root)
    assert again.returncode == 0
    assert names(calls) == EVERY_TIME
    assert '[training] already done' in again.stdout
    for run in (done, again):
        assert 'THE TABLE' in run.stdout
        assert f'contact sheet:  {work_dir}/contact_sheet.png\n' in run.stdout


def test_other_iterations_and_other_code_train_anew(root):
    first = value(quickstart(root)[1], 'train.py', '--work-dir')
    _, calls = quickstart(root, '--iters', '25')
    second = value(calls, 'train.py', '--work-dir')
    assert value(calls, 'train.py', '--iters') == '25'
    (root / 'mmbombo' / 'code.py').write_text('second')
    third = value(quickstart(root)[1], 'train.py', '--work-dir')
    assert len({first, second, third}) == 3


@pytest.mark.parametrize('script, step', [('photo_stamps.py', 'data'),
                                          ('mobilenet_v2.py', 'weights'),
                                          ('train.py', 'training'),
                                          ('test.py', 'evaluation'),
                                          ('contact_sheet.py', 'picture')])
def test_failed_step_is_named_and_tried_again(root, script, step):
    done, failed = quickstart(root, broken=script)
    assert done.returncode == 1
    assert names(failed)[-1] == script
    assert f"error: the step '{step}' failed" in done.stderr
    assert 'broken on purpose' in done.stdout
    assert 'THE TABLE' not in done.stdout
    done, calls = quickstart(root)
    assert script in names(calls)
    assert 'THE TABLE' in done.stdout
    if script == 'train.py':  # it is resumed where it was
        assert words_of(calls, script) == words_of(failed, script)
        assert value(calls, script, '--resume') == 'auto'


@pytest.mark.parametrize('torch, trusted', [('2.5.1+cu124', True),
                                            ('2.6.0', False)])
def test_own_checkpoints_load_with_an_old_torch(root, torch, trusted):
    _, calls = quickstart(root, '--smoke', torch=torch)
    for script in ('train.py', 'test.py', 'contact_sheet.py'):
        found = '--trust-checkpoint' in words_of(calls, script)
        assert found == trusted, script


def test_options_choose_data_config_and_stack(root):
    _, calls = quickstart(root, '--data', 'shapes', '--stack', 'onedl')
    assert calls[0] == ['setup_env', '--stack', 'onedl']
    assert value(calls, 'photo_stamps.py', '--out') == 'data/shapes'
    assert value(calls, 'photo_stamps.py', '--data') == 'shapes'
    words = words_of(calls, 'train.py')
    assert words[1].endswith('_shapes.py') and '--iters' not in words


def test_smoke_is_short_and_reads_the_folder_that_it_draws(root):
    done, calls = quickstart(root, '--smoke')
    assert done.returncode == 0, done.stderr
    assert value(calls, 'photo_stamps.py', '--out') == 'data/shapes_smoke'
    assert int(value(calls, 'photo_stamps.py', '--num-train')) <= 64
    assert value(calls, 'train.py', '--iters') == '10'
    config = (root / 'work_dirs/setup/official/config.py').read_text()
    assert config.split()[-1] == 'data/shapes_smoke/'
