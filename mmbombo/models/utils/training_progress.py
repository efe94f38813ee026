# Copyright (c) mmbombo contributors.
from mmengine.logging import MessageHub


def training_progress() -> float:
    """Share of the training that is done, 1 outside a Runner.

    Returns:
        float: Iterations done by iterations in all.
    """
    hub = MessageHub.get_current_instance()
    max_iters = hub.get_info('max_iters', default=None)
    done = hub.get_info('iter', default=None)
    if not max_iters or done is None:
        return 1.
    return done / max_iters
