# Copyright (c) mmbombo contributors.
"""Settings of Sphinx, which makes a site of these pages.

    pip install -r requirements/docs.txt
    sphinx-build docs/en docs/_build
"""
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

project = 'mmbombo'
copyright = 'mmbombo contributors'
# without importing the package, which needs torch and its libraries
release = runpy.run_path(str(ROOT / 'mmbombo' / 'version.py'))['__version__']
extensions = ['myst_parser', 'sphinx_copybutton']
myst_heading_anchors = 3
exclude_patterns = ['_static']
# links to configs and code lead out of the site
suppress_warnings = ['myst.xref_missing']
html_theme = 'alabaster'
