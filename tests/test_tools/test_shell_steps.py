# Copyright (c) mmbombo contributors.
"""The set-up scripts skip what is done and name what has failed."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from mmengine.config import Config
from toolbox import load_script

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
    ('setup_env.sh --help', 0, '--stack official|onedl'),
    ('quickstart.sh --help', 0, '--stack official|onedl'),
    ('run_tests.sh --help', 0, '--stack official|onedl'),
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


@pytest.mark.parametrize('version, fits, limit', [
    ('1.13.1+cu117', False, False),
    ('2.0.1+cu117', True, True),
    ('2.13.0+cpu', True, False),
])
def test_old_torch_is_refused_or_gets_an_old_numpy(tmp_path, version, fits,
                                                   limit):
    fake_venv(tmp_path / '.venv', torch=version)
    done = setup_env(tmp_path, TORCH_SPEC='')
    assert (done.returncode == 0) == fits
    asked = calls(tmp_path)
    assert ('mminstall.txt' in asked) == fits
    assert ('numpy<2' in asked) == limit
    if not fits:
        assert f'uses {version}' in done.stderr
        assert 'TORCH_SPEC=torch==' in done.stderr


# Where an environment has the file, it has the package; which operators it
# has, the file "ops" says.
VENV_PYTHON = """case "$*" in
    *'version("torch")'*) echo {torch} ;;
    *mmcv._ext*) [ -e {venv}/ops ] ;;
    '-m pip uninstall'*) echo "$*" >>{root}/calls.txt ;;
    '-m pip wheel'*)
        echo "$*" >>{root}/calls.txt
        mkdir {venv}/wheels; touch {venv}/ops {venv}/wheels/mmcv.whl ;;
    '-m pip install'*) echo "$*" >>{root}/calls.txt ;;
esac"""


def fake_venv(venv, torch='2.13.0'):
    """An environment whose ``pip`` only writes down what it was asked."""
    root = venv.parent
    write_program(venv / 'bin/python',
                  VENV_PYTHON.format(torch=torch, venv=venv, root=root))
    if not (root / 'requirements').exists():
        shutil.copytree(ROOT / 'requirements', root / 'requirements')
    return venv / 'lib/python3.11/site-packages'


def calls(root):
    """What ``pip`` was asked since the last time."""
    path = root / 'calls.txt'
    words = path.read_text() if path.exists() else ''
    path.unlink(missing_ok=True)
    return words


def installed(root, *options):
    done = setup_env(root, *options, TORCH_SPEC='')
    assert done.returncode == 0, done.stderr
    return calls(root)


def test_what_is_installed_is_not_installed_again(tmp_path):
    fake_venv(tmp_path / '.venv')
    first = installed(tmp_path)
    assert 'mminstall.txt' in first and ' wheel ' not in first
    assert f'-e {tmp_path}' in first and 'tests.txt' not in first
    assert installed(tmp_path) == ''
    assert 'tests.txt' in installed(tmp_path, '--tests')
    assert installed(tmp_path) == installed(tmp_path, '--tests') == ''
    (tmp_path / 'requirements/runtime.txt').write_text('another')
    assert f'-e {tmp_path}' in installed(tmp_path)


def test_compiled_operators_are_asked_for_and_stay(tmp_path):
    packages = fake_venv(tmp_path / '.venv')
    installed(tmp_path)
    compiled = installed(tmp_path, '--compile').splitlines()
    steps = [next(i for i, line in enumerate(compiled) if words in line)
             for words in ('pip wheel', 'uninstall --yes mmcv-lite',
                           'wheels/mmcv.whl', f'-e {tmp_path}')]
    assert steps == sorted(steps)
    (packages / 'mmcv-2.1.0.dist-info').mkdir(parents=True)
    assert installed(tmp_path) == ''
    (tmp_path / 'requirements/runtime.txt').write_text('another')
    again = installed(tmp_path)
    assert 'mminstall_compiled.txt' in again and 'mmcv.whl' not in again


def test_onedl_is_compiled_in_an_environment_of_its_own(tmp_path):
    fake_venv(tmp_path / '.venv-onedl')
    asked = installed(tmp_path, '--stack', 'onedl')
    assert 'onedl-mmcv==' in asked and 'mminstall_onedl.txt' in asked


@pytest.mark.parametrize('venv, package, stack, other', [
    ('.venv', 'onedl_mmcv-2.3.6', 'official', 'onedl'),
    ('.venv-onedl', 'mmcv_lite-2.1.0', 'onedl', 'official'),
    ('.venv-onedl', 'mmcv-2.1.0', 'onedl', 'official'),
])
def test_other_family_in_the_way_is_named(tmp_path, venv, package, stack,
                                          other):
    packages = fake_venv(tmp_path / venv)
    (packages / f'{package}.dist-info').mkdir(parents=True)
    done = setup_env(tmp_path, '--stack', stack)
    assert done.returncode == 1
    assert f"holds the '{other}' libraries" in done.stderr
    assert f'delete {tmp_path / venv}, or use --stack {other}' in done.stderr
    assert calls(tmp_path) == ''


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
        '--nproc_per_node=2', f'{TOOLS}/test.py', 'c.py', '--launcher',
        'pytorch', 'w.pth'
    ]
    slurm = words('slurm_train.sh part job c.py dir --amp', GPUS='4')
    assert slurm[:5] == [
        '-p', 'part', '--job-name=job', '--gres=gpu:4', '--ntasks=4'
    ]
    assert slurm[-7:] == [
        f'{TOOLS}/train.py', 'c.py', '--work-dir', 'dir', '--launcher',
        'slurm', '--amp'
    ]
    slurm = words('slurm_test.sh part job c.py w.pth --out x.json')
    assert slurm[-7:] == [
        f'{TOOLS}/test.py', 'c.py', 'w.pth', '--launcher', 'slurm', '--out',
        'x.json'
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
    rows = [line.split()[1::2] for line in table.splitlines() if '|' in line]
    assert rows == [
        ['class', 'AP50', 'AP', 'IoU'],
        ['cat', '-', '12.5', '32.5'],
        ['background', '-', '-', '90.0'],
        ['mean', '50.0', '25.0', '61.2'],
    ]
    table = module.format_table({
        'det/bbox_mAP_s': -1, 'det/bbox_mAP_l': .5, 'det/cat_AP': .1,
        'det/cat_AP_s': float('nan'), 'det/cat_AP_l': .25,
        'seg/mBIoU': 40., 'seg/cat_BIoU': 30.
    })
    rows = [[cell.strip() for cell in line.split('|')[1:-1]]
            for line in table.splitlines() if '|' in line]
    assert rows == [['class', 'AP s', 'AP l', 'BIoU'],
                    ['cat', '-', '25.0', '30.0'],
                    ['mean', '-', '50.0', '40.0']]


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
