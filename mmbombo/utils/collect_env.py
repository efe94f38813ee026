# Copyright (c) mmbombo contributors.
"""What a bug report must tell about the environment."""
import argparse
from importlib import import_module
from importlib.metadata import packages_distributions, version
from typing import Dict

from mmengine.utils.dl_utils import collect_env as collect_base_env

from mmbombo.ops import operators_in_use
from mmbombo.version import __version__

_LIBRARIES = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'cv2', 'numpy')


def collect_env() -> Dict[str, str]:
    """Versions of the system, the libraries and mmbombo.

    The official and the OneDL libraries share their import names. The
    distributions that own each module are therefore named: two owners mean
    that two installations have overwritten each other.
    """
    env = dict(collect_base_env())
    owners = packages_distributions()
    for name in _LIBRARIES:
        listing = ', '.join(f'{owner} {version(owner)}'
                            for owner in sorted(set(owners.get(name, ()))))
        env[name] = (f'{import_module(name).__version__} '
                     f'({listing or "no distribution"})')
    env['operators'] = operators_in_use()
    env['mmbombo'] = __version__
    return env


if __name__ == '__main__':
    argparse.ArgumentParser(
        prog='python -m mmbombo.utils.collect_env',
        description='Print the versions of the system and the libraries, and '
        'who installed them, for a bug report.').parse_args()
    for key, value in collect_env().items():
        print(f'{key}: {value}')
