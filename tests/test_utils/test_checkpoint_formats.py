# Copyright (c) mmbombo contributors.
"""What is loaded without a pickle, and with a torch that cannot check one."""
import hashlib
import json
import shutil

import pytest
import torch
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

from mmbombo.utils import UserError, checkpoint
from mmbombo.utils.checkpoint import checked_loader, load_checkpoint_safely

WEIGHTS = dict(x=torch.arange(3.))


@pytest.fixture
def old_torch(monkeypatch):
    """As if torch were older than 2.6."""
    monkeypatch.setattr(checkpoint, 'READS_SAFELY', False)


def load(path, trust=False):
    with checked_loader(trust):
        return CheckpointLoader.load_checkpoint(str(path), 'cpu')


@pytest.mark.parametrize('trust', [False, True])
def test_safetensors_with_meta(tmp_path, trust):
    path = tmp_path / 'x.safetensors'
    meta = dict(dataset_meta=dict(classes=['cat']), cfg='import os')
    save_file(WEIGHTS, path, dict(meta=json.dumps(meta)))
    loaded = load(path, trust)
    assert loaded['state_dict']['x'].tolist() == [0, 1, 2]
    assert loaded['meta']['dataset_meta'] == dict(classes=['cat'])
    save_file(WEIGHTS, path)
    assert load(path, trust)['meta'] == {}


@pytest.mark.parametrize('content', [b'', b'not safetensors'])
def test_damaged_safetensors_are_named(tmp_path, content):
    path = tmp_path / 'x.safetensors'
    path.write_bytes(content)
    with pytest.raises(UserError, match='x.safetensors.*cannot be read'):
        load(path)


def test_pickle_needs_trust(old_torch, tmp_path):
    path = tmp_path / 'x.pth'
    torch.save(WEIGHTS, path)
    with pytest.raises(UserError, match='torch >= 2.6') as error:
        load(path)
    assert '--trust-checkpoint' in str(error.value)
    assert str(path) in str(error.value) and '\n' not in str(error.value)
    assert load(path, trust=True)['x'].tolist() == [0, 1, 2]


def test_safetensors_beside_a_pickle_are_taken(old_torch, tmp_path):
    path = tmp_path / 'x.pth'
    torch.save(dict(x=torch.zeros(3)), path)
    save_file(WEIGHTS, tmp_path / 'x.safetensors')
    loaded = load_checkpoint_safely(str(path))
    assert loaded['state_dict']['x'].tolist() == [0, 1, 2]


def test_published_weights_are_known_by_url_and_hash(old_torch, tmp_path,
                                                     monkeypatch):
    original = tmp_path / 'original.pth'
    torch.save(WEIGHTS, original)
    digest = hashlib.sha256(original.read_bytes()).hexdigest()[:8]
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(
        torch.hub, 'download_url_to_file',
        lambda url, path, progress: shutil.copy(original, path))
    host = 'https://download.pytorch.org/models'
    assert load(f'{host}/r-{digest}.pth')['x'].tolist() == [0, 1, 2]
    for url in (f'{host}/r-00000000.pth', f'{host}/r.pth',
                f'https://example.org/r-{digest}.pth',
                f'https://download.pytorch.org.example.org/r-{digest}.pth'):
        with pytest.raises(UserError, match='torch >= 2.6'):
            load(url)
