# Copyright (c) mmbombo contributors.
from importlib import import_module

import pytest

from mmbombo.ops import ext, operators_in_use


@pytest.fixture
def ours(monkeypatch):
    """Let a module of ``mmcv.ops`` call the stand-in for compiled ones."""

    def use(name):
        module = import_module(f'mmcv.ops.{name}')
        monkeypatch.setattr(module, 'ext_module', ext)

    return use


@pytest.fixture
def compiled():
    """``mmcv._ext``, where it is compiled."""
    if operators_in_use() != 'compiled':
        pytest.skip('MMCV has no compiled operators here')
    return import_module('mmcv._ext')
