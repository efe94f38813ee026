# Copyright (c) mmbombo contributors.
"""The ``.mim`` folder; all else is in ``pyproject.toml``.

MIM looks for configs, tools and the model index in ``mmbombo/.mim`` of the
*installed* package, and so does what names configs: ``MultiTaskInferencer``,
the tools, and ``_base_ = 'mmbombo::...'``. A built package gets copies, made
in the build folder so that the working tree stays as it is. An editable
installation gets links in the working tree, so that an edited config is the
config in use.
"""
import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SOURCES = [
    ROOT / name for name in ('configs', 'demo', 'tools', 'model-index.yml')
]
#: Tools of a working tree: set-up, tests, and how results are recorded.
LEFT_OUT = shutil.ignore_patterns('__pycache__', '*.pyc', 'setup_env.sh',
                                  'steps.sh', 'quickstart.sh', 'run_tests.sh',
                                  'ablation*', 'benchmark*', 'provenance.py')


def make_mim(package: Path, link: bool) -> None:
    """Fill the ``.mim`` folder of a package.

    Args:
        package (Path): The package, in the build folder or the working tree.
        link (bool): Link rather than copy. Where links cannot be made
            (Windows without the privilege), copies take their place and have
            to be renewed by installing again.
    """
    mim = package / '.mim'
    # what an earlier build left; of links the target stays
    shutil.rmtree(mim, ignore_errors=True)
    mim.mkdir(parents=True)
    for source in SOURCES:
        target = mim / source.name
        if link:
            try:
                target.symlink_to(
                    os.path.relpath(source, mim), source.is_dir())
                continue
            except OSError:
                pass
        if source.is_dir():
            shutil.copytree(source, target, ignore=LEFT_OUT)
        else:
            shutil.copy2(source, target)


class BuildPyWithMim(build_py):
    """``build_py``, run by every wheel, editable ones included."""

    def run(self) -> None:
        """Build the package, then complete its ``.mim`` folder."""
        super().run()
        if self.editable_mode:
            make_mim(ROOT / 'mmbombo', link=True)
        else:
            make_mim(Path(self.build_lib) / 'mmbombo', link=False)


setup(cmdclass=dict(build_py=BuildPyWithMim))
