# Copyright (c) mmbombo contributors.
"""Loading of checkpoints that cannot run code.

A checkpoint is a pickle, and a pickle is a program. Everything that MMEngine
loads (``--resume``, ``load_from``, ``init_cfg``, teachers, the inferencer)
goes through its ``CheckpointLoader``, whose schemes
:func:`use_checked_loader` replaces.
"""
import hashlib
import json
import logging
import os.path as osp
import re
import secrets
from contextlib import contextmanager
from pickle import UnpicklingError
from textwrap import shorten
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import (get_deprecated_model_names,
                                        get_external_models,
                                        get_torchvision_models)
from mmengine.utils import digit_version
from torch import nn

from .download import download
from .stored_config import drop_programs
from .user_errors import MissingFileError, UserError

TRUST_OPTION = '--trust-checkpoint'
# Before it, a file can get around ``weights_only`` (CVE-2025-32434).
READS_SAFELY = digit_version(torch.__version__) >= digit_version('2.6')
# Who could change what lies there could change PyTorch and the libraries too.
PUBLISHERS = ('https://download.pytorch.org/',
              'https://download.openmmlab.com/')
# Schemes of files that are downloaded; the last three are names.
DOWNLOADED = ('http://', 'https://', 'torchvision://', 'open-mmlab://',
              'openmmlab://')
# Weights of what is there for a training alone.
TRAINING_ONLY = r'(weak_losses|backbone\.local_modules)\.'
# Weights that the configs name and a tool of ours makes.
MADE_BY = {
    'mobilenet_v2_imagenet.pth':
    'tools/model_converters/mobilenet_v2.py',
    'wide_resnet38_imagenet.pth':
    'tools/model_converters/wide_resnet38.py FILE.params'
}


def load_checkpoint_safely(path: str,
                           map_location: Optional[Any] = None) -> dict:
    """Load a checkpoint file without running anything that it contains.

    Besides tensors and plain Python values only what MMEngine's Runner stores
    is accepted: log histories, NumPy arrays and scalars; a ``UserError`` names
    anything else, and weights that are NaN or infinite. A config text that is
    more than nested literals is dropped, since MMEngine runs it as Python when
    it resumes. Before torch 2.6, which cannot do that, only safetensors are
    loaded: the file itself, or the one beside ``path``.
    """
    path = _existing(path)
    tensors = osp.splitext(path)[0] + '.safetensors'
    if path == tensors or not READS_SAFELY and osp.isfile(tensors):
        if path != tensors:
            print_log(f"'{tensors}' is read in place of '{path}'", 'current')
        return _load_tensors(tensors, map_location)
    if not READS_SAFELY:
        raise UserError(
            f"checkpoint '{path}' is a pickle, and torch {torch.__version__} "
            'cannot load one without running what is in it: use torch >= 2.6, '
            f'a .safetensors file, or, if you know who made it (your own '
            f'training, say), {TRUST_OPTION}')
    try:
        with torch.serialization.safe_globals(_allowed_globals()):
            checkpoint = torch.load(
                path, map_location=map_location, weights_only=True)
    except Exception as error:  # a damaged file can fail in any way
        raise UserError(_refusal(path, str(error))) from None
    drop_programs(checkpoint, path)
    return _finite(checkpoint, path)


def use_checked_loader(trust: bool = False) -> None:
    """Make everything that MMEngine loads go through the check.

    Tools call this first; importing mmbombo changes nothing. Named weights
    ('torchvision://', 'open-mmlab://') are looked up and loaded by their URL;
    other schemes are refused. ``trust`` (``--trust-checkpoint``) loads without
    a check, for files whose maker is known.
    """
    load: Callable = load_checkpoint_safely
    if trust:
        print_log(
            'checkpoints are loaded without a check '
            f'({TRUST_OPTION}): they may run any code',
            logger='current')
        load = _load_trusted

    def load_download(name, map_location=None):
        url = _url_of(name)
        path = download(url, name)
        if not READS_SAFELY and _is_published(url, path):
            return _load_trusted(path, map_location)
        return load(path, map_location)

    def refuse(name, map_location=None):
        raise UserError(
            f"'{name}': checkpoints of this scheme are not checked and not "
            'loaded; download the file and give its path')

    schemes = dict.fromkeys(CheckpointLoader._schemes, refuse)
    schemes.update(dict.fromkeys(DOWNLOADED, load_download), **{'': load})
    for scheme, loader in schemes.items():
        CheckpointLoader.register_scheme(scheme, loader, force=True)


@contextmanager
def checked_loader(trust: bool = False) -> Iterator[None]:
    """As :func:`use_checked_loader`, for the time of a ``with`` block."""
    before = CheckpointLoader._schemes
    CheckpointLoader._schemes = before.copy()
    try:
        use_checked_loader(trust)
        yield
    finally:
        CheckpointLoader._schemes = before


def load_weights(model: nn.Module,
                 checkpoint: dict,
                 where: str = '',
                 exact: bool = False,
                 resume: bool = False) -> None:
    """Load a checkpoint that has every weight of a model, else raise.

    If ``exact`` it has no other ones, but those of the weak losses and local
    modules of its own training; otherwise these are logged. To ``resume`` a
    training takes its own, too. ``where`` begins the message.
    """
    weights = {
        re.sub(r'^module\.', '', key): value
        for key, value in checkpoint.get('state_dict', checkpoint).items()
        if resume or not (exact and re.match(TRAINING_ONLY, key))
    }
    try:
        missing, others = model.load_state_dict(weights, strict=False)
        # counters of batch norm: stock checkpoints may lack them
        missing = [
            x for x in missing if not x.endswith('num_batches_tracked') and (
                resume or not re.match(TRAINING_ONLY, x))
        ]
        problems = f'it lacks {missing[:5]}' if missing else ''
    except RuntimeError as error:
        problems, others = shorten(str(error), 500), []
    unused = f'the config does not use its {others[:5]}' if others else ''
    if problems or exact and unused:
        raise UserError(f'{where}the checkpoint does not fit the config: '
                        f'{problems or unused}')
    if unused:
        print_log(f'{where}{unused}', 'current', logging.WARNING)


def nonfinite_weights(weights: Dict[str, Any]) -> List[str]:
    """Names of weights that are NaN or infinite; sharded ones are passed."""
    return [
        key for key, value in weights.items()
        if type(value) in (torch.Tensor, nn.Parameter) and not value.is_meta
        and value.is_floating_point() and not value.isfinite().all()
    ]


def _finite(checkpoint: Any, path: str) -> Any:
    """The same checkpoint, if its training has not diverged."""
    weights = checkpoint if isinstance(checkpoint, dict) else {}
    for part in ('state_dict', 'ema_state_dict'):
        named = weights.get(part, {})
        if not isinstance(named, dict) or {*map(type, named)} - {str}:
            raise UserError(f"checkpoint '{path}' cannot be read: its {part} "
                            'is no dict of weights by name')
        bad = nonfinite_weights(weights.get(part, weights))
        if bad:
            raise UserError(
                f"checkpoint '{path}' is of a training that diverged: "
                f'{bad[:3]} are NaN or infinite; take an earlier one')
    return checkpoint


def _existing(path: str) -> str:
    path = osp.expanduser(path)
    if not osp.isfile(path):
        tool = MADE_BY.get(osp.basename(path))
        hint = f'; `python {tool} --out {path}` makes it' if tool else ''
        raise MissingFileError(f"there is no checkpoint file '{path}'{hint}")
    return path


def _load_trusted(path: str, map_location: Optional[Any] = None) -> dict:
    # The one place that unpickles freely: after --trust-checkpoint, and, with
    # an old torch, what its own makers publish.
    path = _existing(path)
    if path.endswith('.safetensors'):
        return load_checkpoint_safely(path, map_location)
    return _finite(
        torch.load(path, map_location=map_location, weights_only=False), path)


def _load_tensors(path: str, map_location: Optional[Any] = None) -> dict:
    """Load safetensors; their metadata may hold ``meta`` as JSON."""
    from safetensors import safe_open
    device = 'cpu' if callable(map_location) else map_location or 'cpu'
    try:
        with safe_open(path, 'pt') as file:
            checkpoint = dict(
                state_dict={
                    key: file.get_tensor(key).to(device)
                    for key in file.keys()
                },
                meta=json.loads((file.metadata() or {}).get('meta', '{}')))
    except Exception as error:  # a damaged file can fail in any way
        raise UserError(f"'{path}' cannot be read: {error}") from None
    drop_programs(checkpoint, path)
    return _finite(checkpoint, path)


def _is_published(url: str, path: str) -> bool:
    """Whether a file comes from its makers and has the hash in its name."""
    found = re.search(r'-([0-9a-f]{8,})\.pth$', url)
    if not found or not url.startswith(PUBLISHERS) or set(url) & set('?#'):
        return False
    with open(path, 'rb') as file:
        content = hashlib.sha256(file.read()).hexdigest()
    return content.startswith(found.group(1))


def _history_method(owner: type, name: str) -> Callable:
    """Stands in for ``getattr``, by which pickle finds methods.

    A log history refers to its own statistics (``HistoryBuffer.mean``). The
    real ``getattr`` would open every attribute of every allowed object.
    """
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean',
                                                  'current'):
        owner = getattr(owner, '__name__', type(owner).__name__)
        raise UnpicklingError(f'Unsupported global: GLOBAL {owner}.{name}')
    return getattr(HistoryBuffer, name)


def _number_dtype(code: str, *flags: Any) -> np.dtype:
    """Stands in for ``numpy.dtype``: plain numbers only, no records."""
    dtype = np.dtype(code) if isinstance(code, str) else None
    if dtype is None or dtype.kind not in 'biufc':
        raise UnpicklingError(
            f'Unsupported global: GLOBAL numpy.dtype({code})')
    return dtype


class _ArrayType:
    """Stands in for ``numpy.ndarray``, which can be called.

    The real one makes an array of objects out of bytes of the file, that is,
    of pointers.
    """

    def __new__(cls, *args: Any) -> None:
        raise UnpicklingError('Unsupported global: GLOBAL numpy.ndarray()')


def _empty_array(kind: type, *args: Any) -> np.ndarray:
    """Stands in for ``_reconstruct``; its state fills the array."""
    if kind is not _ArrayType:
        raise UnpicklingError(
            'Unsupported global: GLOBAL numpy._reconstruct of another class')
    return np.empty((0, ), dtype='b')


def _empty_bytes(*args: Any) -> bytes:
    """Stands in for ``bytes``, by which pickle writes none at all."""
    if args:
        raise UnpicklingError('Unsupported global: GLOBAL bytes()')
    return b''


def _allowed_globals() -> List[Tuple[Callable, str]]:
    """What MMEngine's checkpoints refer to, under the names they use."""
    core = getattr(np, '_core', None) or np.core
    allowed: List[Tuple[Callable, str]] = [
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_history_method, 'builtins.getattr'),
        (slice, 'builtins.slice'),
        (_empty_bytes, 'builtins.bytes'),
        (_ArrayType, 'numpy.ndarray'),
        # Its instances may get a state, but no file knows its name.
        (np.ndarray, secrets.token_hex()),
        (_number_dtype, 'numpy.dtype'),
    ]
    # NumPy 1 and 2 write different names for the same functions.
    for module in ('numpy._core', 'numpy.core'):
        allowed += [(_empty_array, f'{module}.multiarray._reconstruct'),
                    (core.multiarray.scalar, f'{module}.multiarray.scalar')]
    # Their instances, which are the only ones that may get a state.
    for code in '?bhilqBHILQefdFD':
        kind = type(np.dtype(code))
        allowed.append((kind, f'numpy.dtypes.{kind.__name__}'))
    return allowed


def _refusal(path: str, error: str) -> str:
    """What torch says, without its advice to load the file unchecked."""
    found = re.search(r'GLOBAL (\S+)', error)
    if found:
        return (f"checkpoint '{path}' was refused: it refers to "
                f"'{found.group(1)}', which a checkpoint of MMEngine does not "
                'need. Loading such a file can run any code. If you know who '
                f'made it, pass {TRUST_OPTION}')
    reason = error.rpartition('WeightsUnpickler error: ')[-1]
    reason = re.split(r'In PyTorch|Re-running|\n', reason.strip())[0].strip()
    reason = reason.replace('``weights_only=True`` with ', '')
    return f"checkpoint '{path}' cannot be read: {reason or 'it is empty'}"


def _url_of(name: str) -> str:
    """URL of weights that may be named as ``torchvision://resnet50``."""
    scheme, _, model = name.partition('://')
    if scheme in ('http', 'https'):
        return name
    if scheme == 'torchvision':
        urls = get_torchvision_models()
    else:
        urls = get_external_models()
        model = get_deprecated_model_names().get(model, model)
    if not urls.get(model, '').startswith(('http://', 'https://')):
        raise UserError(f"'{name}' names no weights that can be downloaded; "
                        'give the URL or the path of the file')
    return urls[model]
