# Copyright (c) mmbombo contributors.
"""Detection and semantic segmentation from partial annotations.

Importing the package checks that the four OpenMMLab libraries are there and
fit. Two families of distributions provide them under the same import names
(the official ones and OneDL's), so the check reads the ``__version__`` of the
modules and never the names of distributions.
"""
from importlib import import_module
from typing import List, NamedTuple, Optional

from .ops import provide_operators
from .version import __version__


class _Library(NamedTuple):
    """A required module and the half-open range of versions that fit."""
    module: str
    minimum: str
    maximum: str


# The upper bound of MMCV that a given MMDetection accepts is left to the
# assertion that MMDetection itself makes on import.
_LIBRARIES = (
    _Library('mmengine', '0.10.7', '1.0.0'),
    _Library('mmcv', '2.0.0rc4', '3.0.0'),
    _Library('mmdet', '3.3.0', '4.0.0'),
    _Library('mmseg', '1.2.2', '2.0.0'),
)

_REMEDY = """
Install one family of libraries after PyTorch, each in an environment of its
own because they overwrite each other's files:
  official: pip install "mmengine>=0.11.0rc3" mmcv-lite==2.1.0 mmdet==3.3.0 \
mmsegmentation==1.2.2 ftfy regex "opencv-python<5"
With MMCV's compiled operators, which takes 10 to 20 minutes:
  first:    pip install "setuptools<81" wheel ninja psutil
  official: pip install --no-build-isolation "mmengine>=0.11.0rc3" \
mmcv==2.1.0 mmdet==3.3.0 mmsegmentation==1.2.2 ftfy regex \
"opencv-python-headless<5"
  OneDL:    pip install --no-build-isolation onedl-mmengine onedl-mmcv \
onedl-mmdetection onedl-mmsegmentation
In a clone of mmbombo, `bash tools/setup_env.sh` does all of this."""


def _misfit(library: _Library) -> Optional[str]:
    """Say what is wrong with one library; None if it fits."""
    wanted = f'>={library.minimum},<{library.maximum} is needed'
    try:
        version = import_module(library.module).__version__
    except ModuleNotFoundError as error:
        if error.name == library.module:
            return f'{library.module} is not installed, {wanted}'
        return f'{library.module} cannot be imported: {error}'
    # MMDetection and MMSegmentation assert on an MMCV that does not suit
    # them; a broken installation of MMCV or OpenCV raises ImportError.
    except (AssertionError, ImportError) as error:
        return f'{library.module} cannot be imported: {error}'
    from mmengine.utils import digit_version
    if (digit_version(library.minimum) <= digit_version(version) <
            digit_version(library.maximum)):
        return None
    return f'{library.module} {version} is installed, {wanted}'


def _check_libraries() -> None:
    """Check all libraries at once, so that one error names all that is due."""
    misfits: List[str] = []
    for library in _LIBRARIES:
        misfit = _misfit(library)
        if misfit is not None:
            misfits.append(misfit)
        # Nothing else can be imported, or compared, without MMEngine.
        if misfit is not None and library.module == 'mmengine':
            break
    if not misfits:
        try:
            provide_operators()
        except ImportError as error:
            misfits.append(f'mmcv has broken compiled operators: {error}')
    if misfits:
        listing = '\n'.join(f'  - {misfit}' for misfit in misfits)
        raise ImportError(
            f'mmbombo {__version__} cannot use this environment:\n'
            f'{listing}{_REMEDY}')


_check_libraries()

# For ``_base_ = 'mmbombo::bombo/...'`` in a config of somebody else.
import_module('mmengine.config.utils').MODULE2PACKAGE['mmbombo'] = 'mmbombo'

__all__ = ['__version__']
