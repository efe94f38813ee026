# Copyright (c) mmbombo contributors.
from .data_preprocessors import *  # noqa: F401,F403
from .detectors import *  # noqa: F401,F403
from .task_heads import *  # noqa: F401,F403
from .weak_losses import *  # noqa: F401,F403
