"""What Sphinx is told: tools/docs builds the pages with it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ptoverlay import __version__

project = "ptoverlay"
author = "the authors of ptoverlay"
project_copyright = "the authors of ptoverlay; GPL-2.0-or-later"
version = release = __version__
extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["build"]
html_theme = "alabaster"
html_theme_options = {"description": "Overlayfs without a mount", "page_width": "1100px"}
html_static_path: list[str] = []
html_show_sourcelink = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
today = " "  # the same text gives the same pages, whenever they are built
