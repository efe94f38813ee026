# Copyright (c) mmbombo contributors.
"""Configs that are stored in checkpoints, and may be a stranger's.

MMEngine would run their text as Python, and its registries import what a
``type`` names.
"""
import ast
import sys
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Iterator, Optional, Tuple
from unittest.mock import patch

import mmdet.registry  # noqa: F401
import mmengine.registry
import mmseg.registry  # noqa: F401
from mmengine.config import Config
from mmengine.config.config import RESERVED_KEYS
from mmengine.fileio.handlers import PickleHandler, YamlHandler
from mmengine.logging import print_log
from mmengine.registry import Registry

import mmbombo.registry  # noqa: F401
from .user_errors import UserError

# Where MMEngine stores the text of the config; the last is run on resuming.
CONFIG_TEXTS = (('message_hub', 'runtime_info', 'cfg'), ('meta', 'cfg'),
                ('meta', 'config'))
# In no registry: MMCV's non-maximum suppression evaluates its type, and
# MMDetection looks for the layers of RoIs among MMCV's operators.
OPERATORS = ('nms', 'soft_nms', 'RoIAlign', 'RoIPool')
# Registered, but they evaluate, import or unpickle what their arguments name.
UNSAFE_TYPES = ('BertModel', 'CameraMotionCompensation', 'RFSearchHook', 'VPD')


def stored_config(checkpoint: dict, path: str) -> Config:
    """The config of a checkpoint, to build with
    :func:`registered_types_only`."""
    config = _plain_config_of(checkpoint)
    if config is None:
        raise UserError(f"checkpoint '{path}' has no config that could be "
                        'used: give the config file')
    with registered_types_only():
        for name in dict.fromkeys(_types_in(config)):
            if not _is_safe(name):
                raise UserError(
                    f"the config in checkpoint '{path}' names '{name}', which "
                    'no imported package has registered as safe to build. '
                    'Give the config file, or, if you know who made the '
                    'checkpoint, --trust-checkpoint (trust_checkpoint=True)')
    if not isinstance(config.get('model'), dict):
        raise UserError(f"the config in checkpoint '{path}' has no model: "
                        'give the config file')
    return Config(config)


def drop_programs(checkpoint: Any, path: str) -> None:
    """Remove config texts that are no plain data, or that MMEngine runs."""
    for owner, key in list(_texts(checkpoint)):
        if key == 'config' or plain_config(
                owner[key]) is None or imports_others(owner[key]):
            del owner[key]
            print_log(
                f"a config in checkpoint '{path}' was left out: MMEngine "
                'would run it',
                logger='current')


def imports_others(text: str) -> bool:
    """Whether MMEngine would import what is not imported yet for a config."""
    imports = dict(map(_assignment,
                       ast.parse(text).body)).get('custom_imports')
    names = imports.get('imports') if isinstance(imports, dict) else imports
    names = [names] if isinstance(names, str) else names or ()
    return not isinstance(names, (list, tuple)) or any(
        not isinstance(x, str) or x not in sys.modules for x in names)


@contextmanager
def registered_types_only() -> Iterator[None]:
    """Let registries give what is registered, and import nothing by name."""

    def import_known(name: str) -> ModuleType:
        # a folder beside the user can be a part of a package without a file
        package = sys.modules.get(name.partition('.')[0])
        if not getattr(package, '__file__', None):
            raise ImportError(f'{name} belongs to no imported package')
        return import_module(name)

    def refuse_file(filename: Any, *args: Any, **kwargs: Any) -> None:
        raise UserError(f'the config of a checkpoint names {filename!r}, '
                        'which would be run: give the config file')

    def refuse_objects(handler: Any, file: Any, *args: Any, **kwargs) -> None:
        refuse_file(getattr(file, 'name', 'a pickle or YAML file'))

    module = sys.modules[Registry.__module__]
    with patch.object(module, 'get_object_from_string', lambda name: None), \
            patch.object(module, 'import_module', import_known), \
            patch.object(Config, 'fromfile', refuse_file), \
            patch.object(PickleHandler, 'load_from_path', refuse_objects), \
            patch.object(PickleHandler, 'load_from_fileobj', refuse_objects), \
            patch.object(YamlHandler, 'load_from_fileobj', refuse_objects):
        yield


def _texts(checkpoint: Any) -> Iterator[Tuple[dict, str]]:
    """Where the texts are: their dicts and keys."""
    for *parents, key in CONFIG_TEXTS:
        owner = checkpoint
        for name in parents:
            owner = owner.get(name) if isinstance(owner, dict) else None
        if isinstance(owner, dict) and key in owner:
            yield owner, key


def _plain_config_of(checkpoint: dict) -> Optional[dict]:
    configs = (plain_config(owner[key]) for owner, key in _texts(checkpoint))
    return next((config for config in configs if config is not None), None)


def _types_in(value: Any) -> Iterator[str]:
    """All types that a config names, with the scope that stands beside."""
    if isinstance(value, dict):
        name, scope = value.get('type'), value.get('_scope_')
        if isinstance(name, str) and name not in OPERATORS:
            yield f'{scope}.{name}' if scope and '.' not in name else name
        if value.get('decode_backend') == 'pickle':  # unpickles images
            yield 'pickle'
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _types_in(item)


def _is_safe(name: str) -> bool:
    """Whether any scope has registered ``name``, or its own ``scope.name``."""
    if name.rpartition('.')[-1] in UNSAFE_TYPES:
        return False
    roots = [
        root for root in vars(mmengine.registry).values()
        if isinstance(root, Registry)
    ]
    nodes = [node for root in roots for node in root.children.values()]
    return any(node.get(name) is not None for node in roots + nodes)


def plain_config(text: Any) -> Optional[dict]:
    """Read the text of a config as plain data.

    That is assignments of literals and ``dict(...)``, as MMEngine writes them;
    None if the text is more. What ``custom_imports`` names is not imported.
    """
    # MMEngine fills in '{{...}}', across quotes, and runs what '_base_' names
    if not isinstance(text, str) or '{{' in text:
        return None
    try:
        config = dict(map(_assignment, ast.parse(text).body))
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return None
    config.pop('custom_imports', None)
    return None if {'_base_', *RESERVED_KEYS} & {*config} else config


def _assignment(node: ast.stmt) -> Tuple[str, Any]:
    targets = getattr(node, 'targets', ())
    if not (isinstance(node, ast.Assign) and len(targets) == 1
            and isinstance(targets[0], ast.Name)):
        raise ValueError('not an assignment to one name')
    return targets[0].id, _literal(node.value)


def _literal(node: Optional[ast.expr]) -> Any:
    """As ``ast.literal_eval``, and with ``dict(a=1)``."""
    if isinstance(node, ast.Call):
        words = {word.arg: _literal(word.value) for word in node.keywords}
        name = getattr(node.func, 'id', None)
        if name != 'dict' or node.args or None in words:
            raise ValueError('a call')
        return words
    if isinstance(node, ast.Dict):
        return dict(zip(map(_literal, node.keys), map(_literal, node.values)))
    if isinstance(node, ast.List):
        return list(map(_literal, node.elts))
    if isinstance(node, ast.Tuple):
        return tuple(map(_literal, node.elts))
    return ast.literal_eval(node)
