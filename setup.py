# Copyright (c) mmbombo contributors.
"""Build and installation of mmbombo.

MIM looks for configs, tools and the model index in ``mmbombo/.mim`` of the
*installed* package, and so does what names configs: ``MultiTaskInferencer``,
the tools, and ``_base_ = 'mmbombo::...'``. A built package gets copies of them,
made in the build folder so that the working tree stays as it is. An editable
installation gets links in the working tree, so that an edited config is the
config in use.
"""
import os
import shutil
from pathlib import Path
from typing import Dict, List

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.develop import develop

ROOT = Path(__file__).resolve().parent
MIM_SOURCES = ('configs', 'demo', 'tools', 'model-index.yml')
REQUIREMENTS = ROOT / 'requirements'
# Extra -> files of requirements
EXTRAS = dict(
    all=('build', 'runtime', 'optional', 'tests'),
    build=('build', ),
    compiled=('mminstall_compiled', ),
    mim=('mminstall', ),
    onedl=('mminstall_onedl', ),
    optional=('optional', ),
    tests=('tests', ))


def read_version() -> str:
    """Read the version without importing the package.

    Returns:
        str: The version.
    """
    scope: Dict[str, str] = {}
    exec((ROOT / 'mmbombo' / 'version.py').read_text(encoding='utf-8'), scope)
    return scope['__version__']


def read_requirements(name: str) -> List[str]:
    """Read one file of requirements.

    Args:
        name (str): Name of the file in ``requirements/``, without suffix.

    Returns:
        list[str]: Requirements, without comments and empty lines.
    """
    lines = (REQUIREMENTS / f'{name}.txt').read_text(encoding='utf-8')
    stripped = (line.split('#')[0].strip() for line in lines.splitlines())
    return [line for line in stripped if line]


def remove(path: Path) -> None:
    """Remove what an earlier build or installation left behind.

    Args:
        path (Path): File, folder or link; a link's target is not touched.
    """
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def mim_sources() -> List[Path]:
    """List what goes to ``.mim`` and exists.

    Returns:
        list[Path]: Files and folders.
    """
    return [ROOT / name for name in MIM_SOURCES if (ROOT / name).exists()]


def copy_mim(package: Path) -> None:
    """Copy configs, tools and the model index into a built package.

    Args:
        package (Path): The package in the build folder.
    """
    mim = package / '.mim'
    remove(mim)
    mim.mkdir(parents=True)
    for source in mim_sources():
        if source.is_dir():
            shutil.copytree(
                source,
                mim / source.name,
                ignore=shutil.ignore_patterns('__pycache__', '*.pyc'))
        else:
            shutil.copy2(source, mim / source.name)


def link_mim(package: Path) -> None:
    """Link configs, tools and the model index into the working tree.

    Where links cannot be made (Windows without the privilege), copies take
    their place and have to be renewed by installing again.

    Args:
        package (Path): The package in the working tree.
    """
    mim = package / '.mim'
    remove(mim)
    mim.mkdir()
    try:
        for source in mim_sources():
            (mim / source.name).symlink_to(
                os.path.relpath(source, mim),
                target_is_directory=source.is_dir())
    except OSError:
        copy_mim(package)


class BuildPyWithMim(build_py):
    """``build_py``, run by every wheel, editable ones included."""

    def run(self) -> None:
        """Build the package, then complete its ``.mim`` folder."""
        super().run()
        if getattr(self, 'editable_mode', False):
            link_mim(ROOT / 'mmbombo')
        else:
            copy_mim(Path(self.build_lib) / 'mmbombo')


class DevelopWithMim(develop):
    """``setup.py develop``, which old versions of pip run for ``-e``."""

    def run(self) -> None:
        """Link the ``.mim`` folder, then install."""
        link_mim(ROOT / 'mmbombo')
        super().run()


setup(
    name='mmbombo',
    version=read_version(),
    description='Object detection and semantic segmentation by one network, '
    'from images that have boxes, masks, both or neither',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='mmbombo contributors',
    keywords='computer vision, object detection, semantic segmentation, '
    'weakly supervised learning, multi-task learning',
    packages=find_packages(include=('mmbombo', 'mmbombo.*')),
    classifiers=[
        'Development Status :: 4 - Beta',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    license='Apache-2.0',
    python_requires='>=3.10',
    # No mm* package: two families of distributions provide them, and a named
    # one would overwrite the other.
    install_requires=read_requirements('runtime'),
    extras_require={
        name: [line for file in files for line in read_requirements(file)]
        for name, files in EXTRAS.items()
    },
    cmdclass={
        'build_py': BuildPyWithMim,
        'develop': DevelopWithMim,
    },
    zip_safe=False)
