"""The man page, made of docs/manual.rst by docutils alone, which setup.py can have where it installs: manual.py PAGE.

Rules: what docutils has to say of the text is an error.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.core import publish_string
from docutils.parsers.rst import roles

TOP = Path(__file__).resolve().parent.parent
SUBTITLE = "run a program over a merged view of directories, without a mount"


def _page_name(_role: str, _raw: str, text: str, _line: int, _inliner: Any,
               _options: Any = None, _content: Any = ()) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """:doc:`page` of Sphinx: in the man page the page is a section."""
    return [nodes.emphasis(text, text)], []


def page() -> bytes:
    """The text for man(1)."""
    roles.register_local_role("doc", _page_name)
    source = TOP / "docs/manual.rst"
    title, _, rest = source.read_text().partition("\n\n")
    head = f"{title}\n\n{'*' * len(SUBTITLE)}\n{SUBTITLE}\n{'*' * len(SUBTITLE)}\n\n:Manual section: 1\n\n"
    settings = {"halt_level": 2, "report_level": 2, "output_encoding": "utf-8", "source_link": None, "datestamp": None,
                "_disable_config": True}
    made: bytes = publish_string(head + rest, source_path=str(source), writer="manpage", settings_overrides=settings)
    return re.sub(rb'^\.SH .*$', lambda match: match[0].upper(), made, flags=re.MULTILINE)  # as in other manuals


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(page())
