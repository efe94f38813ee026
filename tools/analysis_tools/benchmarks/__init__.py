# Copyright (c) mmbombo contributors.
"""What ``benchmark.py`` measures: one module each.

A module of this package with a function ``run(options) -> list[Row]`` is found
by its name; the first line of its docstring is shown in the help. ``options``
are the command's: ``data``, ``images``, ``model``, ``batch``, ``size``,
``repeats``, ``threads``, ``device``, ``plot``. Modules of other content are in
:data:`_SHARED`.
"""
import ast
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import List

_FOLDER = Path(__file__).parent
_SHARED = ('__init__', 'report', 'rows', 'running', 'batches', 'networks',
           'stock', 'photo_stamps', 'voc_sources', 'split_merge_loop',
           'start_child', 'baseline', 'scores', 'worker')


def names() -> List[str]:
    """What can be measured."""
    return sorted(path.stem for path in _FOLDER.glob('*.py')
                  if path.stem not in _SHARED)


def summary(name: str) -> str:
    """The first line of a benchmark's docstring, without importing it."""
    tree = ast.parse((_FOLDER / f'{name}.py').read_text(encoding='utf-8'))
    return ast.get_docstring(tree).splitlines()[0]


def load(name: str) -> ModuleType:
    """Import a benchmark."""
    return import_module(f'{__name__}.{name}')
