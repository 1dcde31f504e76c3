"""Configuration of the Sphinx site: `make docs` builds it, warnings are errors."""

import rlopt

project = "rlopt"
copyright = "the rlopt authors"
release = version = rlopt.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
html_theme = "furo"
html_title = f"rlopt {release}"
default_role = "literal"  # docstrings name modules and settings in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
napoleon_attr_annotations = False
linkcheck_ignore = [r"http://(localhost|127\.0\.0\.1).*", r"https?://.*\.example.*"]
