"""Containers and hardened machines, as support/containers.py makes them: a run works there, or says why not.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import containers
from support.box import ROOT_DIRECTORY
from support.containers import CONTAINERS

pytestmark = pytest.mark.root_only


@pytest.fixture
def lower(area: Path) -> Path:
    return containers.lay_out(area / "lower")


def contents(lower: Path) -> dict[str, str]:
    return {str(path.relative_to(lower)): path.read_text() for path in lower.rglob("*") if path.is_file()}


@pytest.mark.debian("gcc", "mount")
@pytest.mark.parametrize("name", CONTAINERS)
def test_works_or_says_why_not(lower: Path, name: str) -> None:
    container = CONTAINERS[name]
    done = containers.start(name, "auto", lower, "-v")
    said = done.stderr.strip().splitlines()
    if container.trap:
        assert (done.returncode, done.stdout) == (0, containers.OUTPUT), done.stderr
        assert f"ptoverlay: sh: ran with the {container.trap} trap" in said
    else:
        assert (done.returncode, done.stdout, len(said)) == (125, "", 1), done.stderr
        assert re.fullmatch(r"ptoverlay: [^:]+: .* \(.*\)", said[0]), "what, why and the remedy"
        assert container.says in said[0]
    assert contents(lower) == {"f": "old\n", "d/in": "in\n"}


@pytest.mark.debian("gcc")
def test_the_table_names_every_place() -> None:
    text = (ROOT_DIRECTORY / "docs/containers.inc").read_text()
    assert re.match(r"Run on 20\d\d-\d\d-\d\d ", text)
    assert re.findall(r"^   \* - (.*)$", text, re.MULTILINE)[1:] == [each.title for each in CONTAINERS.values()]
    assert "WRONG" not in text
