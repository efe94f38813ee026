# Copyright (c) mmbombo contributors.
"""With what a figure was measured: the commit, the machine, the libraries."""
import os
import platform
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Dict

import torch

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ('torch', 'numpy', 'cv2', 'mmengine', 'mmcv', 'mmdet', 'mmseg')


def command() -> str:
    """The command line that is running."""
    return ' '.join(['python', *sys.argv])


def commit() -> str:
    """Commit of the code, marked if there are changes on top of it.

    Results that a tool writes into the repository do not count.
    """
    found = _git('rev-parse', '--short', 'HEAD')
    changes = _git('status', '--porcelain', '--untracked-files=no', '--', '.',
                   ':(exclude)docs')
    return (found or 'unknown') + ('-dirty' if changes else '')


def _git(*arguments: str) -> str:
    """What git prints; nothing without git or a repository."""
    try:
        result = subprocess.run(['git', *arguments],
                                cwd=ROOT,
                                capture_output=True,
                                text=True)
    except FileNotFoundError:
        return ''
    return result.stdout.strip()


def machine(device: str = 'cpu') -> Dict[str, object]:
    """Processor (or CUDA device), cores, Python, versions of libraries."""
    return dict(
        device=processor()
        if device == 'cpu' else torch.cuda.get_device_name(device),
        cores=os.cpu_count(),
        python=platform.python_version(),
        versions={x: import_module(x).__version__
                  for x in LIBRARIES})


def processor(info: Path = Path('/proc/cpuinfo')) -> str:
    """Model of the CPU where Linux says it, otherwise its architecture."""
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [
        line.split(':', 1)[1].strip() for line in lines
        if line.startswith('model name')
    ]
    return models[0] if models else platform.machine()
