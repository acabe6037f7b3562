"""The pytest plugin: tests whose commands change nothing.

    def test_install(overlay, tmp_path):                 # a box over /
        overlay.run(["make", "install"], check=True)
        assert overlay.changed.added == {"/usr/local/bin/frob"}

    @pytest.mark.overlay                                 # every command that this test starts
    def test_clean():
        subprocess.run(["make", "clean"], check=True)

    pytest --overlay                                     # every command that any test starts

Commands are caught where subprocess.Popen starts them, so run(), check_output(), os.popen(), os.system() and asyncio's
subprocesses are; os.fork(), os.posix_spawn() and multiprocessing are not, and what the test itself does to files is not
either.  pytest's directory for temporary files (tmp_path) is direct: the test reads there what its commands have left.

A failing test tells what its commands have changed.

Rules: a test that uses none of it pays nothing: the API is imported when it is needed; every layer goes away with its
test; a command is never started outside of the layer because one inside could not be.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import inspect
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

if TYPE_CHECKING:
    from ptoverlay.api import Overlay
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
    catching = Catching.active if fixturedef.scope != "function" else None
    if catching is not None:
        catching.paused += 1
    try:
        return (yield)
    finally:
        if catching is not None:
            catching.paused -= 1


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


# ---- catching commands ----


class Catching:
    """While its context lasts, every subprocess.Popen of this process starts in the box, unless it is paused."""

    active: ClassVar[Catching | None] = None

    def __init__(self, box: Box) -> None:
        self.paused = 0
        self._box = box
        self._lock = threading.Lock()
        self._running: list[tuple[Overlay, subprocess.Popen[Any]]] = []

    def __enter__(self) -> None:
        self._original = subprocess.Popen.__init__
        self._system = os.system
        signature = inspect.signature(self._original)

        def start(popen: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
            self._start(popen, signature.bind(popen, *arguments, **options))

        subprocess.Popen.__init__ = start  # type: ignore[assignment, method-assign]
        os.system = lambda command: _wait_status(subprocess.call(command, shell=True))
        Catching.active = self

    def __exit__(self, *_: object) -> None:
        Catching.active = None
        subprocess.Popen.__init__ = self._original  # type: ignore[method-assign]
        os.system = self._system
        for _box, popen in self._running:
            if popen.poll() is None:
                popen.kill()
                popen.wait()

    def _start(self, popen: subprocess.Popen[Any], bound: inspect.BoundArguments) -> None:
        from ptoverlay.process import Process, words_of

        given = bound.arguments
        if self.paused or isinstance(popen, Process):  # which is in a box already
            self._original(*bound.args, **bound.kwargs)
            return
        args = given["args"]
        words = _program(words_of(args, given.get("shell", False)), given.pop("executable", None))
        cwd = given.pop("cwd", None)
        with self._lock:
            box = self._idle()
            _look_for(self._box, words, cwd, given.get("env"))
            bound.arguments.update(args=box.command(words, cwd=cwd), shell=False)
            self._original(*bound.args, **bound.kwargs)
            self._running.append((box, popen))
        popen.args = args

    def _idle(self) -> Overlay:
        """The topmost layer, if no command uses it, else a new one on top of it, which shows what it holds by now."""
        self._running = [(box, popen) for box, popen in self._running if popen.poll() is None]
        top = self._box.layers[-1]
        return self._box.lay_another() if any(box is top for box, _ in self._running) else top


def _program(words: list[str], executable: str | os.PathLike[str] | None) -> list[str]:
    return words if executable is None else [os.fspath(executable), *words[1:]]


def _wait_status(code: int) -> int:
    """What os.system returns for a returncode of subprocess."""
    return -code if code < 0 else code << 8


def _look_for(box: Box, words: Sequence[str], cwd: Any, env: Mapping[str, str] | None) -> None:
    """FileNotFoundError, as Popen raises it, when there is no such program or directory."""
    here = os.path.abspath(os.fspath(cwd)) if cwd is not None else os.getcwd()
    if cwd is not None and not os.path.isdir(here) and not box.has(here):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(cwd))
    name = words[0]
    path = (os.environ if env is None else env).get("PATH", os.defpath)
    places = [here] if "/" in name else path.split(os.pathsep)
    if shutil.which(name, path=path) is None and not any(
            box.has(os.path.join(here, place, name)) for place in places):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
