"""Sphinx configuration of the documentation site; built by ``make docs``, without a network."""

import os
import warnings

# Pictures and texts come from the machine itself: nothing is looked up on a hub while building.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import skrr2qc

# The examples say in words what this warning would say with the path of a file on this machine.
warnings.filterwarnings("ignore", ".* labels have no training text", UserWarning)

project = "skrr2qc"
author = "skrr2qc developers"
copyright = author
version = release = skrr2qc.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery"]  # the gallery is built from its scripts
templates_path = ["_templates"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"sklearn\..*"),  # scikit-learn's site is not asked
    ("py:.*", r"skrr2qc\.hierarchy"),  # a module, whose functions have pages
]

# Single backticks in docstrings mark parameters and names, which are read as they stand.
default_role = "literal"
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]

autodoc_inherit_docstrings = False  # those of scikit-learn and torch link to their own sites
autodoc_typehints = "none"  # the docstrings carry types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the template of a class lists them
autosummary_generate = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "backreferences_dir": None,
    "within_subsection_order": "FileNameSortKey",
    "image_srcset": ["2x"],  # sharp on phones and on screens of high resolution
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "ignore_repr_types": r"matplotlib|skrr2qc\.plotting|_retrieval_rerank\.",
    "min_reported_time": 1000,
}

html_title = "skrr2qc"
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_logo = html_favicon = "_static/logo.svg"
html_extra_path = ["llms.txt"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "skrr2qc", "alt_text": "skrr2qc, start page"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
