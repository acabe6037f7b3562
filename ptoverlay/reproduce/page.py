"""The page of --html.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ptoverlay import __version__
from ptoverlay.reports.report import template
from ptoverlay.reproduce.find import Comparison


def page(command: str, outcome: Comparison, differences: Mapping[str, str], details: Mapping[str, str]) -> str:
    """Its text.  differences, details: by path: in a line, and what diffoscope says."""
    text: str = template("page.html", os.path.dirname(__file__)).render(
        version=__version__, command=command, outcome=outcome, differences=differences, details=details)
    return text
