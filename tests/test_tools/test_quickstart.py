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
    'photo_stamps.py', 'mobilenet_v2.py', 'pseudo_masks.py',
    'print_config.py', 'train.py',
    'test.py', 'contact_sheet.py', 'print_metrics.py'
]
# Fast, and checked by the programs themselves or only prints.
EVERY_TIME = [
    'photo_stamps.py', 'pseudo_masks.py', 'print_config.py',
    'print_metrics.py'
]

PYTHON = r"""#!/bin/bash
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
        echo "$(value --work-dir)/iter.pth" \
            >"$(value --work-dir)/last_checkpoint" ;;
    mobilenet_v2.py | test.py | contact_sheet.py)
        mkdir -p "$(dirname "$(value --out)")"
        touch "$(value --out)" ;;
    print_metrics.py) echo "THE TABLE" ;;
esac
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'mmbombo').mkdir()
    (tmp_path / 'mmbombo' / 'code.py').write_text('first')
    (tmp_path / 'tools').mkdir()
    for name in ('steps.sh', 'quickstart.sh'):
        shutil.copy(TOOLS / name, tmp_path / 'tools')
    (tmp_path / 'tools' / 'setup_env.sh'
     ).write_text('echo "setup_env $*" >>"$(dirname "$0")/../calls.txt"\n')
    for venv in ('.venv', '.venv-official'):
        python = tmp_path / venv / 'bin' / 'python'
        python.parent.mkdir(parents=True)
        python.write_text(PYTHON)
        python.chmod(0o755)
    return tmp_path


def quickstart(root, *options, broken=''):
    """Run it; returns the process and the calls as lists of words."""
    calls = root / 'calls.txt'
    calls.unlink(missing_ok=True)
    done = subprocess.run(
        ['bash', str(root / 'tools' / 'quickstart.sh'), *options],
        cwd='/',
        env={
            **os.environ, 'BROKEN': broken
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True)
    return done, [line.split() for line in calls.read_text().splitlines()]


def names(calls):
    assert calls[0][0] == 'setup_env'
    return [Path(words[0]).name for words in calls[1:]]


def value(calls, script, option):
    words, = (w for w in calls if Path(w[0]).name == script)
    return words[words.index(option) + 1]


def test_all_steps_in_order_then_none_again(root):
    done, calls = quickstart(root)
    assert done.returncode == 0, done.stderr
    assert names(calls) == ALL_STEPS
    assert 'THE TABLE' in done.stdout
    work_dir = Path(value(calls, 'train.py', '--work-dir'))
    picture = work_dir / 'contact_sheet.png'
    assert f'contact sheet:  {picture}\n' in done.stdout
    assert picture.is_file()
    # What is evaluated and drawn is what was trained.
    for script in ('test.py', 'contact_sheet.py'):
        words, = (w for w in calls if Path(w[0]).name == script)
        assert words[2] == f'{work_dir}/iter.pth'

    done, calls = quickstart(root)
    assert done.returncode == 0
    assert names(calls) == EVERY_TIME
    assert '[training] already done' in done.stdout
    assert 'THE TABLE' in done.stdout
    assert f'contact sheet:  {picture}\n' in done.stdout


def test_other_iterations_and_other_code_train_anew(root):
    first = value(quickstart(root)[1], 'train.py', '--work-dir')
    _, calls = quickstart(root, '--iters', '25')
    assert 'train.py' in names(calls)
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
    done, calls = quickstart(root, broken=script)
    assert done.returncode == 1
    assert names(calls)[-1] == script
    assert f"error: the step '{step}' failed" in done.stderr
    assert 'broken on purpose' in done.stdout
    log, = (
        line.split()[-1] for line in done.stderr.splitlines()
        if line.strip().startswith('log:'))
    assert Path(log).read_text() == 'broken on purpose\n'
    assert 'remedy: ' in done.stderr
    assert 'THE TABLE' not in done.stdout

    done, calls = quickstart(root)
    assert done.returncode == 0
    assert script in names(calls)
    assert 'THE TABLE' in done.stdout


def test_interrupted_training_is_resumed_where_it_was(root):
    before = value(
        quickstart(root, broken='train.py')[1], 'train.py', '--work-dir')
    _, calls = quickstart(root)
    assert value(calls, 'train.py', '--work-dir') == before
    assert value(calls, 'train.py', '--resume') == 'auto'


def test_options_choose_data_config_and_stack(root):
    _, calls = quickstart(root, '--data', 'shapes', '--stack', 'official')
    assert calls[0] == ['setup_env', '--stack', 'official']
    assert value(calls, 'photo_stamps.py', '--out') == 'data/shapes'
    assert value(calls, 'photo_stamps.py', '--data') == 'shapes'
    words, = (w for w in calls if Path(w[0]).name == 'train.py')
    assert words[1].endswith('_shapes.py') and '--iters' not in words

    _, calls = quickstart(root, '--smoke')
    assert value(calls, 'photo_stamps.py', '--out') == 'data/shapes_smoke'
    assert int(value(calls, 'photo_stamps.py', '--num-train')) <= 64
    assert value(calls, 'train.py', '--iters') == '10'


def test_smoke_reads_the_folder_that_it_draws(root):
    done, _ = quickstart(root, '--smoke')
    assert done.returncode == 0, done.stderr
    config = (root / 'work_dirs/setup/onedl/config.py').read_text()
    assert config.split()[-1] == 'data/shapes_smoke/'
