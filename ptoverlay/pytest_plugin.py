"""The pytest plugin: tests whose commands change nothing.

    def test_install(overlay, tmp_path):                 # a box over /
        overlay.run(["make", "install"], check=True)
        assert overlay.changed.added == {"/usr/local/bin/frob"}

    @pytest.mark.overlay                                 # every command that this test starts
    def test_clean():
        subprocess.run(["make", "clean"], check=True)

    pytest --overlay                                     # every command that any test starts

Every way in which Python starts a program is caught (testing/catching.py tells which); what the test itself does to
files is not, nor what a fork of it does that executes no program.  pytest's directory for temporary files (tmp_path)
is direct: the test reads there what its commands have left.

A failing test tells what its commands have changed.

Rules: a test that uses none of it pays nothing: the API is imported when it is needed; every layer goes away with its
test.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ptoverlay.testing import Box

_BOXES = pytest.StashKey[list["Box"]]()
_COMMANDS = "_overlay_commands"
_SHOWN = 50  # changes in the report of a failing test


def pytest_addoption(parser: pytest.Parser) -> None:
    """--overlay, --overlay-direct and the setting overlay_direct."""
    group = parser.getgroup("overlay", "commands over a throw-away layer (ptoverlay)")
    group.addoption("--overlay", action="store_true", help="run what tests start as processes over a throw-away layer")
    group.addoption("--overlay-direct", action="append", default=[], metavar="DIR",
                    help="a directory that these commands see and change as it is; repeatable")
    parser.addini("overlay_direct", "directories that commands over a throw-away layer change as they are", "paths")


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line("markers", "overlay(lower=…, direct=…, …): run what the test starts as processes over a "
                            "throw-away layer; arguments are those of ptoverlay.Overlay; overlay(False): do not")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that are marked, or all, get the fixture that catches their commands, before all others."""
    for item in items:
        marker = item.get_closest_marker("overlay")
        wanted = config.getoption("overlay") if marker is None else marker.args != (False,)
        if wanted and isinstance(item, pytest.Function) and _COMMANDS not in item.fixturenames:
            item.fixturenames.insert(0, _COMMANDS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds what was changed to the report of a failing test."""
    report = yield
    if report.failed:
        for box in item.stash.get(_BOXES, []):
            text = box.describe(_SHOWN)
            if text:
                report.sections.append((f"changed in {box!r}", text))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """What a fixture does for several tests does not belong to the layer of the first one."""
    catching = sys.modules.get("ptoverlay.testing.catching")
    if catching is None or fixturedef.scope == "function":
        return (yield)
    with catching.paused():
        return (yield)


# ---- fixtures ----


@pytest.fixture
def overlay(request: pytest.FixtureRequest) -> Iterator[Box]:
    """A box over /, thrown away after the test: a ptoverlay.Overlay with `changed`, an object to assert on.

    Over other directories: @pytest.mark.parametrize("overlay", [{"lower": DIR}], indirect=True), or `make_overlay`.
    In a test whose commands run over a layer (marker, --overlay) it is that layer.
    """
    boxes = request.node.stash.get(_BOXES, [])
    if boxes and not hasattr(request, "param"):
        yield boxes[0]
        return
    with _made(request.node, getattr(request, "param", {})) as box:
        yield box


@pytest.fixture
def make_overlay(request: pytest.FixtureRequest) -> Iterator[Callable[..., Box]]:
    """Makes boxes with the arguments of ptoverlay.Overlay; they are closed after the test."""
    boxes: list[Box] = []

    def make(*arguments: Any, **options: Any) -> Box:
        box = _made(request.node, options, *arguments).open()
        boxes.append(box)
        return box

    yield make
    for box in reversed(boxes):
        box.close()


@pytest.fixture
def _overlay_commands(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    from ptoverlay.testing.catching import Catching

    marker = request.node.get_closest_marker("overlay")
    options = dict(marker.kwargs) if marker is not None else {}
    direct = [*options.get("direct", ()), tmp_path_factory.getbasetemp(), *request.config.getoption("overlay_direct"),
              *request.config.getini("overlay_direct")]
    with _made(request.node, {**options, "direct": direct}) as box, Catching(box):
        yield


def _made(node: pytest.Item, options: Mapping[str, Any], *arguments: Any) -> Box:
    from ptoverlay.testing import Box

    box = Box(*arguments, **options)
    node.stash.setdefault(_BOXES, []).append(box)
    return box
