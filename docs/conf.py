"""How Sphinx makes the site of these documents: `make docs`."""

import os
from importlib import metadata

project = "flashwick"
author = "the flashwick authors"
version = release = metadata.version(project)

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
]

myst_heading_anchors = 4

# The notebooks are kept without what they print, and are run each time.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds a cell
os.environ["PLOTLY_RENDERER"] = "notebook"  # figures that need no network

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}

html_theme = "furo"
html_title = f"flashwick {version}"
html_show_copyright = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
