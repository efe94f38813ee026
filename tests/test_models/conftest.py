# Copyright (c) mmbombo contributors.
import pytest
from mmengine.logging import MessageHub


@pytest.fixture
def progress():
    """Sets how many of 100 iterations are done."""
    hub = MessageHub.get_current_instance()
    hub.update_info('max_iters', 100)
    return lambda done: hub.update_info('iter', done)
