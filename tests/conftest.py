# Copyright (c) mmbombo contributors.
import uuid

import pytest
import torch
from hypothesis import settings
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope

torch.set_num_threads(1)
# a busy machine makes any example slow
settings.register_profile('mmbombo', deadline=None)
settings.load_profile('mmbombo')


@pytest.fixture(autouse=True)
def default_scope():
    """Build modules as a config with ``default_scope = 'mmbombo'`` does."""
    DefaultScope.get_instance(f'test-{uuid.uuid4()}', scope_name='mmbombo')


@pytest.fixture(autouse=True)
def message_hub():
    """Forget how far the Runner of another test has come."""
    MessageHub.get_instance(f'test-{uuid.uuid4()}')
