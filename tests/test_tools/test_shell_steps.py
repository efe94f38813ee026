# Copyright (c) mmbombo contributors.
"""The set-up scripts skip what is done and name what has failed."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from mmengine.config import Config

from mmbombo.testing import load_script

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools'


def bash(script, **options):
    return subprocess.run(['bash', '-c', script], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, **options)


def steps(script, cwd):
    return bash(
        f'set -euo pipefail; source {TOOLS}/steps.sh; {script}', cwd=cwd)


def test_step_prints_and_logs(tmp_path):
    done = steps(
        'work() { echo one; echo two >&2; }; '
        'run_step name logs/a.log "try again" work; echo after', tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'logs' / 'a.log').read_text() == 'one\ntwo\n'
    assert '\none\ntwo\n[name] done in 0:' in done.stdout
    assert done.stdout.endswith('after\n')


def test_failed_step_names_itself_its_log_and_the_remedy(tmp_path):
    done = steps(
        'work() { echo the cause; false; echo not reached; }; '
        'run_step "wax wings" logs/b.log "fly lower" work; echo after',
        tmp_path)
    assert done.returncode == 1
    assert done.stdout.endswith('the cause\n')
    assert done.stderr.splitlines() == [
        "error: the step 'wax wings' failed", '       log:    logs/b.log',
        '       remedy: fly lower'
    ]


def test_fingerprint_depends_on_words_and_file_contents(tmp_path):
    keys = []
    for word, content in (('one', 'first'), ('two', 'first'),
                          ('one', 'second'), ('one', 'first')):
        (tmp_path / 'input').write_text(content)
        keys.append(steps(f'fingerprint {word} input', tmp_path).stdout)
    assert len(set(keys)) == 3 and keys[0] == keys[3]


@pytest.mark.parametrize('command, message', [
    ('setup_env.sh --stock onedl', "unknown option '--stock'"),
    ('setup_env.sh --stack twodl', "not 'twodl'"),
    ('setup_env.sh --stack', '--stack needs a value'),
    ('quickstart.sh photos', "unknown option 'photos'"),
    ('quickstart.sh --data films', "not 'films'"),
    ('quickstart.sh --data photos --smoke', 'leave out --data photos'),
    ('quickstart.sh --iters 0', "whole number, not '0'"),
    ('quickstart.sh --stack both', "not 'both'"),
    ('run_tests.sh --stack both', "not 'both'"),
])
def test_bad_option_stops_at_once(command, message):
    done = bash(f'bash {TOOLS}/{command}')
    assert done.returncode == 1
    assert message in done.stderr
    assert not done.stdout  # no step has begun


@pytest.mark.parametrize('command, status, usage', [
    ('setup_env.sh --help', 0, '--stack onedl|official'),
    ('quickstart.sh --help', 0, '--stack onedl|official'),
    ('run_tests.sh --help', 0, '--stack onedl|official'),
    ('dist_train.sh', 2, 'CONFIG GPUS'),
    ('dist_test.sh', 2, 'CONFIG CHECKPOINT GPUS'),
    ('slurm_train.sh', 2, 'PARTITION JOB_NAME CONFIG WORK_DIR'),
    ('slurm_test.sh', 2, 'PARTITION JOB_NAME CONFIG CHECKPOINT'),
])
def test_usage(command, status, usage):
    done = bash(f'bash {TOOLS}/{command}')
    assert done.returncode == status
    assert usage in done.stdout + done.stderr


def setup_env(root, *options, **env):
    """Run a copy of the script that finds its environments in ``root``."""
    (root / 'tools').mkdir(exist_ok=True)
    for name in ('steps.sh', 'setup_env.sh'):
        shutil.copy(TOOLS / name, root / 'tools')
    return bash(' '.join(['bash tools/setup_env.sh', *options]), cwd=root,
                env={**os.environ, **env})


def write_program(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/bash\n{script}\n')
    path.chmod(0o755)
    return path


def test_unfit_python_is_named(tmp_path):
    done = setup_env(tmp_path, PYTHON='/bin/false')
    assert done.returncode == 1
    assert 'Python 3.10, 3.11 or 3.12 is needed; tried: /bin/false' \
        in done.stderr
    assert 'remedy:' in done.stderr
    assert not (tmp_path / '.venv').exists()


def test_path_of_python_may_have_a_space(tmp_path):
    python = write_program(
        tmp_path / 'my programs/python',
        'case "$*" in *executable*) echo "$0" ;;'
        ' -m*) echo "asked: $2"; exit 3 ;; esac')
    done = setup_env(tmp_path, PYTHON=str(python))
    assert "the step 'environment' failed" in done.stderr
    assert 'asked: venv' in done.stdout


@pytest.mark.parametrize('version, fits', [('2.4.1+cpu', False),
                                           ('2.5.0', True),
                                           ('2.13.0+cu130', True)])
def test_old_torch_is_refused_before_mmcv_compiles(tmp_path, version, fits):
    # no step goes further than this
    write_program(
        tmp_path / '.venv/bin/python',
        f'case "$*" in *\'version("torch")\'*) echo {version} ;;'
        ' "-m pip install -c"*) exit 1 ;; esac')
    done = setup_env(tmp_path, TORCH_SPEC='')
    assert done.returncode == 1
    assert ('[mmcv]' in done.stdout) == fits
    if not fits:
        assert f'uses {version}' in done.stderr
        assert 'TORCH_SPEC=torch==' in done.stderr


def test_what_is_installed_is_not_installed_again(tmp_path):
    write_program(
        tmp_path / '.venv/bin/python',
        'case "$*" in *\'version("torch")\'*) echo 2.13.0 ;;'
        ' "-m pip install"*) echo "$*" >>calls.txt ;; esac')
    shutil.copytree(ROOT / 'requirements', tmp_path / 'requirements')

    def installed(*options):
        calls = tmp_path / 'calls.txt'
        calls.write_text('')
        done = setup_env(tmp_path, *options, TORCH_SPEC='')
        assert done.returncode == 0, done.stderr
        return calls.read_text()

    first = installed()
    assert 'onedl-mmcv==' in first and 'mminstall_onedl.txt' in first
    assert f'-e {tmp_path}' in first and 'tests.txt' not in first
    assert installed() == ''
    assert 'tests.txt' in installed('--tests')
    assert installed() == installed('--tests') == ''
    (tmp_path / 'requirements/runtime.txt').write_text('another')
    assert f'-e {tmp_path}' in installed()


def test_launchers_pass_their_arguments_on(tmp_path):
    """A recorder in the place of Python and srun writes down its words."""
    recorder = write_program(tmp_path / 'srun', 'printf "%s|" "$@"')

    def words(command, **extra):
        return bash(f'bash {TOOLS}/{command}', env={
            **os.environ, 'PYTHON': str(recorder),
            'PATH': f'{tmp_path}:{os.environ["PATH"]}', **extra
        }).stdout.split('|')[:-1]

    assert words('dist_train.sh c.py 3 --amp --work-dir "a b"', PORT='1234',
                 NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1') == [
        '-m', 'torch.distributed.run', '--nnodes=2', '--node_rank=1',
        '--master_addr=10.0.0.1', '--master_port=1234', '--nproc_per_node=3',
        f'{TOOLS}/train.py', 'c.py', '--launcher', 'pytorch', '--amp',
        '--work-dir', 'a b'
    ]
    assert words('dist_test.sh c.py w.pth 2')[-6:] == [
        '--nproc_per_node=2', f'{TOOLS}/test.py', 'c.py', 'w.pth',
        '--launcher', 'pytorch'
    ]
    slurm = words('slurm_train.sh part job c.py dir --amp', GPUS='4')
    assert slurm[:5] == [
        '-p', 'part', '--job-name=job', '--gres=gpu:4', '--ntasks=4'
    ]
    assert slurm[-7:] == [
        f'{TOOLS}/train.py', 'c.py', '--work-dir', 'dir', '--launcher',
        'slurm', '--amp'
    ]


def test_metrics_become_a_table():
    module = load_script(TOOLS / 'misc' / 'print_metrics.py')
    table = module.format_table({
        'det/bbox_mAP': .25,
        'det/bbox_mAP_50': .5,
        'det/cat_AP': .125,
        'det/cat_AP50': float('nan'),
        'det/voc/cat_AP': .3,
        'seg/mIoU': 61.25,
        'seg/background_IoU': 90.,
        'seg/cat_IoU': 32.5,
        'joint/score': .4
    })
    assert [line.split() for line in table.splitlines()] == [
        ['class', 'AP50', 'AP', 'IoU'],
        ['-' * 34],
        ['cat', '-', '12.5', '32.5'],
        ['background', '-', '-', '90.0'],
        ['-' * 34],
        ['mean', '50.0', '25.0', '61.2'],
    ]


def test_print_config_merges_options(tmp_path, monkeypatch, capsys):
    (tmp_path / 'base.py').write_text("lr = .1\nhead = dict(type='A', n=1)\n")
    (tmp_path / 'config.py').write_text("_base_ = 'base.py'\nlr = .2\n")
    saved = tmp_path / 'saved.py'
    monkeypatch.setattr('sys.argv', [
        'print_config.py', str(tmp_path / 'config.py'), '--save-path',
        str(saved), '--cfg-options', 'head.n=7'
    ])
    load_script(TOOLS / 'misc/print_config.py').main()
    printed = capsys.readouterr().out
    assert "lr = 0.2" in printed and "head = dict(n=7, type='A')" in printed
    assert Config.fromfile(saved).head == dict(n=7, type='A')
