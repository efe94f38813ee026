# Copyright (c) mmbombo contributors.
"""Real files, real configs and real commands for the tests in this folder."""
import importlib
import itertools
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yapf.yapflib.yapf_api
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmengine.utils import ManagerMixin
from PIL import Image
from toolbox import load_script

from mmbombo.utils.checkpoint import READS_SAFELY

REPO = Path(__file__).resolve().parents[2]
SHAPES_CONFIG = REPO / 'configs/bombo/bombo_mobilenetv2_fpn-gfl_shapes.py'
#: What the commands see of the outside: one thread, and this checkout.
ENVIRONMENT = dict(
    OMP_NUM_THREADS='1',
    PYTHONPATH=os.pathsep.join(
        [str(REPO)] + [p for p in [os.environ.get('PYTHONPATH')] if p]))
TIMEOUT = 900
#: What takes the commands longer to import than to run.
SLOW_IMPORTS = ('mmcv.ops', 'mmdet.datasets', 'mmdet.evaluation',
                'mmdet.models', 'mmengine.runner', 'mmseg.datasets',
                'mmseg.evaluation', 'mmseg.models', 'torch._dynamo')
#: Logged numbers that differ between two runs of the same training.
CLOCKS = ('time', 'data_time', 'memory')


def words(script, arguments):
    """The arguments as text; an old torch has to trust checkpoints."""
    trust = [] if READS_SAFELY or script not in (
        'tools/train.py', 'tools/test.py',
        'tools/dataset_converters/predicted_labels.py',
        'demo/image_demo.py') else ['--trust-checkpoint']
    return [*map(str, arguments), *trust]


class Commands:
    """Runs the repository's scripts, each in a process of its own."""

    def __init__(self, folder):
        self.folder = folder
        self._numbers = itertools.count()
        for name in SLOW_IMPORTS:
            importlib.import_module(name)

    def run(self, script, *arguments, cwd=None, env=None):
        """Run a script in a fork of this process, past the slow imports."""
        log = self.folder / f'{next(self._numbers)}.log'
        pid = os.fork()
        if pid == 0:
            os.chdir(cwd or self.folder)
            os.environ.update(ENVIRONMENT, **(env or {}))
            be_script(REPO / script, words(script, arguments), log)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return SimpleNamespace(
            returncode=status, output=log.read_text(errors='replace'))

    def run_fresh(self, script, *arguments, cwd=None, env=None):
        """Run a script in a new interpreter."""
        done = subprocess.run(
            [sys.executable, REPO / script, *words(script, arguments)],
            cwd=cwd or self.folder,
            env={**os.environ, **ENVIRONMENT, **(env or {})}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT,
            errors='replace')
        return SimpleNamespace(returncode=done.returncode, output=done.stdout)


def be_script(script, arguments, log):
    """Run a script as ``__main__`` and end with its exit status."""
    signal.alarm(TIMEOUT)
    out = os.open(log, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(out, stream)
    sys.stdout, sys.stderr = (open(stream, 'w') for stream in (1, 2))
    sys.argv = [str(script), *arguments]
    sys.path[:1] = [
        str(script.parent), *os.environ['PYTHONPATH'].split(os.pathsep)
    ]
    yapf.yapflib.yapf_api.FormatCode = leave_unformatted
    forget_runs()
    status = 1
    try:
        runpy.run_path(str(script), run_name='__main__')
        status = 0
    except SystemExit as ended:
        status = ended.code or 0
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def leave_unformatted(text, **style):
    """Stands in for yapf, which formats a config for the eye of a reader,
    for seconds, at four places of each run."""
    return text, True


def forget_runs():
    """Clear what MMEngine keeps of other runs in this process."""
    kinds = ManagerMixin.__subclasses__()
    for kind in kinds:
        kind._instance_dict.clear()
        kinds += kind.__subclasses__()


@pytest.fixture
def train_here(monkeypatch, capfd):
    """Trains a config in this process; what it said in the end, and all."""

    def run(config, *arguments):
        forget_runs()
        monkeypatch.setattr(yapf.yapflib.yapf_api, 'FormatCode',
                            leave_unformatted)
        monkeypatch.setattr(CheckpointLoader, '_schemes',
                            CheckpointLoader._schemes.copy())
        monkeypatch.setattr(sys, 'argv',
                            ['train.py', *words('tools/train.py',
                                                (config, *arguments))])
        line = None
        try:
            load_script(REPO / 'tools/train.py').main()
        except SystemExit as ended:
            line = ended.code
        return SimpleNamespace(line=line, output=''.join(capfd.readouterr()))

    return run


@pytest.fixture(scope='session')
def repo():
    return REPO


@pytest.fixture(scope='session')
def commands(tmp_path_factory):
    return Commands(tmp_path_factory.mktemp('commands'))


@pytest.fixture(scope='session')
def train(commands):
    """Trains a config; stops the test if the command fails."""

    def run(config, *arguments, fresh=False, **kwargs):
        work_dir = config.with_suffix('')
        runner = commands.run_fresh if fresh else commands.run
        done = runner('tools/train.py', config, '--work-dir', work_dir,
                      *arguments, **kwargs)
        assert done.returncode == 0, done.output[-5000:]
        return SimpleNamespace(
            work_dir=work_dir, output=done.output,
            scalars=read_scalars(work_dir))

    return run


def read_scalars(work_dir):
    """Logged lines of the last run: those of training, and of validation."""
    return read_scalar_file(
        max(Path(work_dir).glob('*/vis_data/scalars.json')))


def read_scalar_file(file):
    train, val = [], []
    for line in file.read_text().splitlines():
        scalars = {
            key: value
            for key, value in json.loads(line).items() if key not in CLOCKS
        }
        (train if 'loss' in scalars else val).append(scalars)
    return SimpleNamespace(train=train, val=val)


@pytest.fixture(scope='session')
def logs():
    return SimpleNamespace(
        read_scalars=read_scalars, read_file=read_scalar_file)


@pytest.fixture(scope='session')
def shapes(commands, tmp_path_factory):
    """A VOC-layout set of 24 + 8 small pictures, read by all tests."""
    root = tmp_path_factory.mktemp('data') / 'shapes'
    done = commands.run_fresh(
        'tools/dataset_converters/photo_stamps.py', '--data', 'shapes',
        '--out', root, '--num-train', 24, '--num-val', 8, '--short-side', 64,
        96, '--jobs', 1)
    assert done.returncode == 0, done.output
    return root


@pytest.fixture
def own_shapes(shapes, tmp_path):
    """A copy of the set that a test may spoil."""
    return Path(shutil.copytree(shapes, tmp_path / 'own_shapes'))


def ids_of(root, name):
    return (root / f'ImageSets/Main/{name}.txt').read_text().split()


def image_files(root, image_id):
    """Image, boxes and mask of one id."""
    return SimpleNamespace(
        image=root / f'JPEGImages/{image_id}.jpg',
        boxes=root / f'Annotations/{image_id}.xml',
        mask=root / f'SegmentationClass/{image_id}.png')


def write_mask(path, ids):
    """Write class ids as a palette image."""
    mask = Image.fromarray(np.asarray(ids, dtype=np.uint8))
    mask.putpalette(list(range(256)) * 3)
    mask.save(path)


def write_noise(path, seed=0):
    """Replace an image by noise of its size."""
    with Image.open(path) as image:
        shape = (*image.size[::-1], 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope='session')
def voc():
    """What reads and writes the files of a VOC-layout set."""
    return SimpleNamespace(
        ids=ids_of, files=image_files, write_mask=write_mask,
        write_noise=write_noise)


def thin_model(model):
    """Make the network of the configs a hundred times cheaper."""
    model.backbone.update(widen_factor=0.25, init_cfg=None)
    model.neck.update(in_channels=[8, 8, 24, 80], out_channels=16)
    det = model.task_heads.det.head
    det.update(in_channels=16, feat_channels=16, stacked_convs=1)
    det.norm_cfg.num_groups = 4
    model.task_heads.seg.head.update(in_channels=[16] * 4, channels=16)


def place_data(config, old, new):
    """Replace the data root wherever the config names it."""
    if isinstance(config, dict):
        for key, value in config.items():
            config[key] = place_data(value, old, new)
        return config
    if isinstance(config, (list, tuple)):
        return type(config)(place_data(value, old, new) for value in config)
    if isinstance(config, str) and config.startswith(old):
        return new + config[len(old):]
    return config


@pytest.fixture(scope='session')
def make_config():
    """Writes a training config on a VOC-layout set of shapes.

    It is the repository's BoMBo config for shapes with a thin network, small
    images, two images per source and step, and every iteration in the log.
    """

    def make(path, data_root, iters=5, change=None, options=None,
             validate=False):
        cfg = Config.fromfile(SHAPES_CONFIG)
        thin_model(cfg.model)
        place_data(cfg._cfg_dict, 'data/shapes/', f'{data_root}/')
        for loader in (cfg.train_dataloader, cfg.val_dataloader,
                       cfg.test_dataloader):
            for source in loader.dataset.get('datasets', [loader.dataset]):
                shrink_images(source.pipeline)
            loader.update(
                batch_size=4, num_workers=0, persistent_workers=False)
        cfg.train_dataloader.sampler.batch_size = 4
        cfg.train_cfg.update(max_iters=iters, val_interval=iters)
        cfg.default_hooks.logger.interval = 1
        cfg.log_processor.window_size = 1
        cfg.param_scheduler = None
        if not validate:
            cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
            cfg.default_hooks.checkpoint.update(
                save_best=None, interval=10**6, save_last=False)
        if change is not None:
            change(cfg)
        cfg.merge_from_dict(options or {})
        path = Path(path)
        path.write_text('\n'.join(
            f'{key} = {value!r}' for key, value in cfg.to_dict().items()))
        return path

    return make


def shrink_images(pipeline):
    for step in pipeline:
        if 'scale' in step:
            step['scale'] = (128, 64)
        if 'crop_size' in step:
            step['crop_size'] = (64, 64)
        if step['type'] == 'LabelComponents':
            step['min_area'] = 8


@pytest.fixture(scope='session')
def environment():
    """What a command of this repository needs in its environment."""
    return ENVIRONMENT


@pytest.fixture
def distributed(environment, tmp_path):
    """Runs a script of tools/ with two processes."""

    def run(script, *arguments, env=None):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        config, *others = map(str, arguments)
        done = subprocess.run(
            ['bash', str(REPO / 'tools' / script), config,
             *(others[:1] if script == 'dist_test.sh' else []), '2',
             *(others[1:] if script == 'dist_test.sh' else others)],
            env={**os.environ, **environment, **(env or {}), 'PORT': str(port),
                 'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': ''},
            cwd=tmp_path, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=900)
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout

    return run
