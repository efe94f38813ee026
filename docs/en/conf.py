# Copyright (c) mmbombo contributors.
"""Settings of Sphinx, which makes a site of these pages.

In an environment of mmbombo, since the API reference imports it:

    pip install -r requirements/docs.txt
    sphinx-build docs/en docs/_build
"""
import mmbombo

project = 'mmbombo'
copyright = 'mmbombo contributors'
release = mmbombo.__version__
extensions = [
    'myst_parser', 'sphinx_copybutton', 'sphinx.ext.autodoc',
    'sphinx.ext.napoleon'
]
autodoc_default_options = {'show-inheritance': True}
autodoc_typehints = 'none'
# else attributes of a NamedTuple are described twice
napoleon_use_ivar = True
autodoc_member_order = 'bysource'
myst_heading_anchors = 3
exclude_patterns = ['_static']
# links to configs and code lead out of the site
suppress_warnings = ['myst.xref_missing']
html_theme = 'alabaster'
