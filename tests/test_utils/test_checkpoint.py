# Copyright (c) mmbombo contributors.
import builtins
import os
import threading
import zipfile
from collections import OrderedDict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel, BaseModule
from mmengine.runner import CheckpointLoader, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmbombo.utils import UserError
from mmbombo.utils.checkpoint import (READS_SAFELY, checked_loader,
                                      load_checkpoint_safely, load_weights,
                                      use_checked_loader)

pytestmark = pytest.mark.skipif(
    not READS_SAFELY, reason='pickles are checked from torch 2.6 on')


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return builtins.open, (self.path, 'w')


class System(Touch):

    def __reduce__(self):
        return os.system, (f'touch {self.path}', )


class HiddenSystem(Touch):
    """Reaches for the command by way of an object that is allowed."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


class RecordDtype(Touch):

    def __reduce__(self):
        return np.dtype, ('O', )


class ArrayOfPointers(Touch):
    """An array of objects whose addresses are bytes of the file."""

    def __reduce__(self):
        return np.ndarray, ((1, ), 'O', b'A' * 8)


class Part(BaseModule):

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.linear = nn.Linear(2, 1)


class Toy(BaseModel):

    def __init__(self, init_cfg=None):
        super().__init__()
        self.part = Part(init_cfg)
        self.norm = nn.BatchNorm1d(2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        out = self.part.linear(self.norm(torch.stack(inputs)))
        return dict(loss=out.square().mean(), acc=out.mean().detach())


class ToyData(torch.utils.data.Dataset):
    metainfo = dict(classes=('cat', 'dog'), ids=np.arange(3))

    def __len__(self):
        return 16

    def __getitem__(self, i):
        return dict(inputs=torch.tensor([float(i), 1.]))


def make_runner(work_dir, max_iters=4, model=None, **kwargs):
    return Runner(
        model=model or Toy(),
        work_dir=str(work_dir),
        train_dataloader=DataLoader(
            ToyData(), batch_size=4, collate_fn=_collate),
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=.01)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=.1, end=3, by_epoch=False),
            dict(type='MultiStepLR', milestones=[3], by_epoch=False),
            dict(type='CosineAnnealingLR', T_max=4, by_epoch=False),
        ],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False),
            logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[dict(type='EMAHook', update_buffers=True)],
        cfg=Config(dict(model=dict(type='Toy', sizes=(1, 2), x=-1.5, y=None))),
        experiment_name=f'{os.path.basename(work_dir)}_{os.urandom(4).hex()}',
        log_level='WARNING',
        **kwargs)


def _collate(items):
    return dict(inputs=[item['inputs'] for item in items])


@pytest.fixture
def loader():
    """The checked loader, for one test."""
    before = CheckpointLoader._schemes
    CheckpointLoader._schemes = OrderedDict(before)
    use_checked_loader()
    yield
    CheckpointLoader._schemes = before


@pytest.fixture(scope='module')
def real_checkpoint(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('run')
    make_runner(work_dir).train()
    return work_dir / 'iter_4.pth'


def malicious(path, kind, tmp_path):
    checkpoint = dict(
        meta=dict(epoch=0, iter=2),
        state_dict=Toy().state_dict(),
        message_hub=dict(x=kind(tmp_path / 'touched')))
    torch.save(checkpoint, path)
    return str(path)


def same(a, b):
    if isinstance(a, HistoryBuffer):
        return all(map(np.array_equal, a.data, b.data)) and \
            a.statistics('mean') == b.statistics('mean')
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (torch.Tensor, np.ndarray)):
        return a.dtype == b.dtype and (a == b).all()
    return type(a) is type(b) and a == b


def test_real_checkpoint_loads_whole(real_checkpoint):
    ours = load_checkpoint_safely(str(real_checkpoint), 'cpu')
    theirs = torch.load(real_checkpoint, weights_only=False)
    assert 'ema_state_dict' in ours and len(ours['param_schedulers']) == 3
    history = ours['message_hub']['log_scalars']['train/loss']
    assert len(history.data[0]) == 4
    assert "type='Toy'" in ours['message_hub']['runtime_info']['cfg']
    assert same(ours, theirs)


def test_resume_equals_the_uninterrupted_run(loader, tmp_path,
                                             real_checkpoint):
    first = real_checkpoint.with_name('iter_2.pth')
    assert first.exists()
    runner = make_runner(tmp_path, resume=True, load_from=str(first))
    runner.train()
    again = load_checkpoint_safely(str(tmp_path / 'iter_4.pth'))
    before = load_checkpoint_safely(str(real_checkpoint))
    assert again['meta']['iter'] == 4
    assert again['optimizer']['state'][0]['step'] == 4
    assert again['message_hub']['log_scalars']['train/loss'].data[0].size == 4
    for key in ('state_dict', 'ema_state_dict', 'optimizer',
                'param_schedulers'):
        assert same(again[key], before[key]), key


@pytest.mark.parametrize('kind, name', [
    (Touch, r'(io|_io)\.open'),
    (System, r'(posix|nt)\.system'),
    (HiddenSystem, r'HistoryBuffer.*__init__'),
    (RecordDtype, r'numpy\.dtype'),
    (ArrayOfPointers, r'numpy\.ndarray'),
])
def test_malicious_file_is_refused(tmp_path, kind, name):
    path = malicious(tmp_path / 'evil.pth', kind, tmp_path)
    with pytest.raises(UserError, match=name) as error:
        load_checkpoint_safely(path)
    assert path in str(error.value)
    assert '--trust-checkpoint' in str(error.value)
    assert not (tmp_path / 'touched').exists()


@pytest.mark.parametrize('legacy', [True, False])
@pytest.mark.parametrize('resume', [True, False])
def test_runner_refuses_resume_and_load_from(loader, tmp_path, resume, legacy):
    path = malicious(tmp_path / 'evil.pth', Touch, tmp_path)
    if legacy:
        content = dict(x=Touch(tmp_path / 'touched'))
        torch.save(content, path, _use_new_zipfile_serialization=False)
    runner = make_runner(tmp_path / 'run', resume=resume, load_from=path)
    with pytest.raises(UserError, match='was refused'):
        runner.train()
    assert runner.iter == 0
    assert not (tmp_path / 'touched').exists()


@pytest.mark.parametrize('prefix', [None, 'part.'])
def test_init_cfg_refuses(loader, tmp_path, prefix):
    path = malicious(tmp_path / 'evil.pth', Touch, tmp_path)
    init_cfg = dict(type='Pretrained', checkpoint=path, prefix=prefix)
    with pytest.raises(UserError, match='was refused'):
        Toy(init_cfg).init_weights()
    assert not (tmp_path / 'touched').exists()


def test_url_is_checked_too(loader, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    malicious(tmp_path / 'evil.pth', Touch, tmp_path)
    torch.save(dict(x=torch.ones(2)), tmp_path / 'good.pth')
    handler = partial(QuietHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}'
    try:
        good = CheckpointLoader.load_checkpoint(f'{url}/good.pth', 'cpu')
        assert good['x'].tolist() == [1, 1]
        with pytest.raises(UserError, match='was refused'):
            CheckpointLoader.load_checkpoint(f'{url}/evil.pth', 'cpu')
    finally:
        server.shutdown()
        server.server_close()
    assert not (tmp_path / 'touched').exists()


class QuietHandler(SimpleHTTPRequestHandler):

    def log_message(self, *args):
        pass


def test_other_schemes_are_refused(loader):
    for name in ('s3://bucket/x.pth', 'mmcls://resnet50', 'pavi://x'):
        with pytest.raises(UserError, match='not checked'):
            CheckpointLoader.load_checkpoint(name)
    with pytest.raises(UserError, match='names no weights'):
        CheckpointLoader.load_checkpoint('open-mmlab://no-such-model')


def test_named_weights_are_looked_up(loader, tmp_path, monkeypatch):
    asked = []

    def download(url, path, progress):
        asked.append(url)
        torch.save(dict(x=torch.ones(1)), path)

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    name = 'open-mmlab://resnet50_v1c'
    for _ in range(2):
        assert CheckpointLoader.load_checkpoint(name)['x'] == 1
    assert len(asked) == 1 and asked[0].endswith('.pth')


def test_files_of_two_urls_may_share_their_name(loader, tmp_path,
                                                monkeypatch):

    def download(url, path, progress):
        torch.save(dict(x=torch.tensor(len(url))), path)

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    for url in ('https://a.org/epoch_12.pth', 'https://bb.org/epoch_12.pth',
                'https://a.org/epoch_12.pth'):
        assert CheckpointLoader.load_checkpoint(url)['x'] == len(url)


def test_trust_ends_with_its_block(loader, tmp_path):
    path = malicious(tmp_path / 'mine.pth', Touch, tmp_path)
    with checked_loader(trust=True):
        CheckpointLoader.load_checkpoint(path)
    (tmp_path / 'touched').unlink()
    with pytest.raises(UserError, match='refused'):
        CheckpointLoader.load_checkpoint(path)
    assert not (tmp_path / 'touched').exists()


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = [
        np.arange(6).reshape(2, 3).astype(kind)
        for kind in ('?', 'u1', 'i8', 'f2', 'f8', 'c16')
    ] + [np.asfortranarray(np.eye(3)[:2]), np.float32(2.5), np.zeros((0, 4))]
    torch.save(dict(arrays=arrays), tmp_path / 'x.pth')
    loaded = load_checkpoint_safely(str(tmp_path / 'x.pth'))['arrays']
    for array, copy in zip(arrays, loaded):
        assert type(copy) is type(array) and copy.dtype == array.dtype
        np.testing.assert_array_equal(copy, array)


def test_config_text_that_is_a_program_is_left_out(loader, tmp_path):
    touched = tmp_path / 'touched'
    program = f"x = 1\nopen({str(touched)!r}, 'w')\n"
    torch.save(
        dict(
            meta=dict(epoch=0, iter=0, config=program, cfg=program),
            state_dict=Toy().state_dict(),
            message_hub=dict(
                log_scalars={},
                resumed_keys={},
                runtime_info=dict(cfg='import os'))), tmp_path / 'evil.pth')
    checkpoint = load_checkpoint_safely(str(tmp_path / 'evil.pth'))
    assert checkpoint['meta'] == dict(epoch=0, iter=0)
    assert checkpoint['message_hub']['runtime_info'] == {}
    runner = make_runner(
        tmp_path / 'run', resume=True, load_from=str(tmp_path / 'evil.pth'))
    runner.train()
    assert not touched.exists()


def test_plain_config_texts_are_kept_but_for_the_one_that_is_run(tmp_path):
    texts = dict(cfg='a = 1', config='a = 1')
    torch.save(dict(meta=texts), tmp_path / 'x.pth')
    checkpoint = load_checkpoint_safely(str(tmp_path / 'x.pth'))
    assert checkpoint['meta'] == dict(cfg='a = 1')


def test_nobody_is_told_to_load_it_unchecked(tmp_path):
    """As torch does."""
    path = str(tmp_path / 'x.pth')
    for save in (save_script, save_odd_operand, save_blocked):
        save(path)
        with pytest.raises(UserError, match='x.pth') as error:
            load_checkpoint_safely(path)
        said = str(error.value)
        assert '\n' not in said
        assert 'Re-running' not in said and 'set to `False`' not in said


def save_script(path):
    torch.jit.script(nn.Linear(1, 1)).save(path)


def save_odd_operand(path):
    save_pickle(path, b'\x80\x02\x94.')


def save_blocked(path):
    save_pickle(path, b'\x80\x02cposix\nsystem\n.')


def save_pickle(path, content):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', content)
        archive.writestr('archive/byteorder', 'little')
        archive.writestr('archive/version', '3\n')


def test_damaged_and_missing_files(tmp_path, real_checkpoint):
    with pytest.raises(FileNotFoundError, match='no_such.pth'):
        load_checkpoint_safely(str(tmp_path / 'no_such.pth'))
    with pytest.raises(FileNotFoundError, match='mobilenet_v2.py'):
        load_checkpoint_safely(str(tmp_path / 'mobilenet_v2_imagenet.pth'))
    content = real_checkpoint.read_bytes()
    for damaged in (content[:len(content) // 2], b'not a checkpoint', b''):
        path = tmp_path / 'damaged.pth'
        path.write_bytes(damaged)
        with pytest.raises(UserError, match='damaged.pth'):
            load_checkpoint_safely(str(path))


def test_what_a_training_alone_needs_is_left_out():
    model = torch.nn.Linear(1, 1)
    weights = dict(model.state_dict())
    for name in ('weak_losses.0.x', 'backbone.local_modules.0.x'):
        weights[name] = torch.zeros(1)
    load_weights(model, weights, exact=True)
    with pytest.raises(UserError, match='does not use its.*other'):
        load_weights(model, dict(weights, other=torch.zeros(1)), exact=True)
