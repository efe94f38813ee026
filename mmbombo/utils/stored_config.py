# Copyright (c) mmbombo contributors.
"""Configs that are stored in checkpoints, and may be a stranger's.

MMEngine runs their text as Python, and the registries import and call what
their ``type`` names.
"""
import ast
import sys
from typing import Any, Iterator, Optional

import mmengine.registry
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import Registry

# Where MMEngine stores the text of the config.
CONFIG_TEXTS = (('message_hub', 'runtime_info', 'cfg'), ('meta', 'cfg'),
                ('meta', 'config'))
# Their modules are in MMEngine's registries; other packages have their own.
ROOT_SCOPES = ('mmengine', 'mmcv')
# Statements and expressions of a text that MMEngine has written.
LITERALS = (ast.Module, ast.Assign, ast.Constant, ast.Dict, ast.List,
            ast.Tuple, ast.Set, ast.UnaryOp, ast.USub, ast.keyword, ast.Load,
            ast.Store)


def drop_programs(checkpoint: Any, path: str) -> None:
    """Remove config texts that are more than literals.

    Args:
        checkpoint (Any): Content of a checkpoint; changed in place.
        path (str): Its file, for the log.
    """
    for *parents, last in CONFIG_TEXTS:
        owner = checkpoint
        for name in parents:
            owner = owner.get(name) if isinstance(owner, dict) else None
        text = owner.get(last) if isinstance(owner, dict) else None
        if isinstance(text, str) and not is_literal_config(text):
            del owner[last]
            print_log(
                f"the config in checkpoint '{path}' is no plain config and "
                'was left out',
                logger='current')


def is_literal_config(text: str) -> bool:
    """Whether a config text only assigns literals and ``dict(...)``.

    It may name modules to import, as a config outside the repository does, if
    they are imported already, such as mmbombo.
    """
    # MMEngine fills in '{{...}}' before it reads the text, across quotes: what
    # runs would not be what is parsed here. Texts that it wrote have none.
    if '{{' in text:
        return False
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if getattr(node.func, 'id', None) != 'dict' or node.args:
                return False
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load) and node.id != 'dict':
                return False
        elif not isinstance(node, LITERALS):
            return False
    return all(map(_is_harmless, tree.body))


def _is_harmless(statement: ast.Assign) -> bool:
    """Whether an assignment makes a config read or import nothing."""
    # A tuple of targets could hide a name.
    if len(statement.targets) > 1 or not isinstance(statement.targets[0],
                                                    ast.Name):
        return False
    name = statement.targets[0].id
    if name == 'custom_imports':
        return _imports_nothing_new(statement.value)
    return name != '_base_'


def _imports_nothing_new(value: ast.expr) -> bool:
    """Whether ``dict(imports=[...])`` names loaded modules only."""
    words = {word.arg: word.value for word in getattr(value, 'keywords', [])}
    try:
        imports = ast.literal_eval(words.get('imports'))
    except ValueError:
        return False
    names = [imports] if isinstance(imports, str) else imports
    return isinstance(names, (list, tuple)) and all(
        isinstance(name, str) and name in sys.modules for name in names)


def stored_config(checkpoint: dict, path: str) -> Config:
    """The config that a checkpoint was trained with, fit to be built.

    A name of the form ``package.thing`` that is not registered would make the
    registries import the package and call the thing, whatever it is.

    Args:
        checkpoint (dict): Content of a checkpoint, as
            :func:`load_checkpoint_safely` gives it.
        path (str): Its file, for messages.

    Returns:
        Config: The config.

    Raises:
        ValueError: If there is none, or it names something that no imported
            package has registered.
    """
    text = _config_text(checkpoint)
    if text is None:
        raise ValueError(f"checkpoint '{path}' has no config that could be "
                         'used: give the config file')
    cfg = Config.fromstring(text, '.py')
    for name in _names_of_types(cfg.to_dict()):
        if '.' in name and not _is_registered(name):
            raise ValueError(
                f"the config in checkpoint '{path}' names '{name}', which no "
                'imported package has registered; building it could run any '
                'code. Give the config file, or trust the checkpoint if you '
                'know who made it')
    return cfg


def stored_preprocessor(checkpoint: dict) -> Optional[dict]:
    """What a checkpoint says about the input of its network.

    Args:
        checkpoint (dict): Content of a checkpoint.

    Returns:
        dict or None: ``model.data_preprocessor`` of its config; None if there
        is no config that could be read without running it.
    """
    text = _config_text(checkpoint)
    if text is None or not is_literal_config(text):
        return None
    model = Config.fromstring(text, '.py').get('model') or {}
    return model.get('data_preprocessor')


def _config_text(checkpoint: dict) -> Optional[str]:
    for *parents, last in CONFIG_TEXTS[:2]:
        owner = checkpoint
        for name in parents:
            owner = owner.get(name) or {}
        if last in owner:
            return owner[last]
    return None


def _names_of_types(value: Any) -> Iterator[str]:
    """All names that a config has the registries look up."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == 'type' and isinstance(item, str):
                yield item
            elif key == '_scope_':
                # a registry of that package is looked for
                yield f'{item}.'
            else:
                yield from _names_of_types(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _names_of_types(item)


def _is_registered(name: str) -> bool:
    """Whether an imported package has registered ``scope.name``.

    Without a name: whether it has registries.
    """
    scope, _, name = name.partition('.')
    registries = [
        registry for registry in vars(mmengine.registry).values()
        if isinstance(registry, Registry)
    ]
    if scope not in ROOT_SCOPES:
        registries = [
            registry.children[scope] for registry in registries
            if scope in registry.children
        ]
    for registry in registries:
        registry.import_from_location()
    if not name:
        return bool(registries)
    return any(name in registry.module_dict for registry in registries)
