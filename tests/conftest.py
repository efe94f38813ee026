# Copyright (c) mmbombo contributors.
import uuid

import cv2
import pytest
import torch
from hypothesis import settings
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope

from mmbombo.utils import UserError
from mmbombo.weak_labels import masks_to_boxes, pixel_groups

torch.set_num_threads(1)
# scripts run in forks, where OpenCV would wait for threads of a pool that are
# not there
cv2.setNumThreads(0)
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


@pytest.fixture
def on_accelerator(monkeypatch):
    """Refine boxes as an accelerator does, which is asked for nothing."""

    def group_pixels(component_map, numbers, rectangles, *args):
        return pixel_groups._group_everywhere(component_map, numbers, *args)

    monkeypatch.setattr(masks_to_boxes, 'group_pixels', group_pixels)
    monkeypatch.setattr(masks_to_boxes, '_is_settled', lambda _: False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Skip what needs a checkpoint that an old PyTorch cannot check."""
    try:
        return (yield)
    except UserError as error:
        if 'is a pickle, and torch' in str(error):
            pytest.skip(str(error))
        raise
