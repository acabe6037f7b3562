"""Fixtures and markers of the whole suite.

Rules: every end-to-end test gets its layers from `world`, which compares the lowers with their snapshot afterwards;
nothing a test mounts or makes is left on the machine; a tool that is missing is a failure where tools/test
could have installed it, and is named otherwise.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import functools
import gc
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import box as box_module
from support import faults, host
from support.bench import OWNER, SELF, Bench
from support.oracle import ROOT, USER, Who
from support.subjects import Subjects, shared_directory
from support.trees import Node, remove, write
from support.world import World

if TYPE_CHECKING:
    from hypothesis import settings

# What collecting makes stays until the end: to look for what nobody needs any more is a tenth of the time until the
# first test.
gc.disable()

IS_ROOT = os.geteuid() == 0
#: What tests need without saying so: to become another user, to compile subjects, to mount.
ALWAYS = ("gcc", "libc6-dev", "mount", "util-linux")
#: Seconds in which what the last test started has to be gone.
ENDING = 10
PACKAGES = Path(__file__).with_name("debian-packages.txt")


def pytest_addoption(parser: pytest.Parser) -> None:
    """More of what is random."""
    parser.addoption("--sequences", type=int, default=0, metavar="N",
                     help="test_differential.py, test_stacks.py: N random sequences, others each time")
    parser.addoption("--needed-packages", metavar="FILE",
                     help="write the Debian packages there that the chosen tests need")
    parser.addoption("--all-points", action="store_true",
                     help="test_killed.py: every point of every kind, as root and as the user, with both traps")
    parser.addoption("--hostile-calls", type=int, default=0, metavar="N",
                     help="test_adversary.py: N calls in all, by other ways and in another order each time")


def pytest_configure(config: pytest.Config) -> None:
    """Markers, signals as a terminal's shell leaves them, and the mount namespace that all tests run in."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        # Ignored by what started us (nohup(1), a shell's background job), it would be ignored in all commands.
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
    config.addinivalue_line("markers", "quick: part of the fast subset")
    config.addinivalue_line("markers", "root_only: needs root")
    config.addinivalue_line("markers", "heavy(users): takes long; runs as root with one trap and as the user with the "
                                       "other, or as these users alone")
    config.addinivalue_line("markers", "debian(*packages): needs these Debian packages (debian-packages.txt)")
    if IS_ROOT:
        try:
            host.private_mounts()
        except OSError as error:
            pytest.exit(f"{error.strerror} (tests as root mount for themselves: a container must have CAP_SYS_ADMIN, "
                        "the directory of a chroot be a mount point; or run them as an ordinary user)", 125)
        for path in host.python_paths():
            host.let_others_through(path)


@functools.cache
def _registry() -> dict[str, list[str]]:
    """package → what shows that it is there: a command, or a path with a slash."""
    registry: dict[str, list[str]] = {}
    for line in PACKAGES.read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            registry[words[0]] = words[1:]
    return registry


@functools.cache
def _missing(packages: tuple[str, ...]) -> list[str]:
    registry = _registry()
    missing = []
    for package in packages:
        for proof in registry[package]:
            found = Path(proof).exists() if "/" in proof else shutil.which(proof) is not None
            if not found:
                missing.append(package)
    return sorted(set(missing))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names what cannot run here.  As root nothing may be missing: tools/test installs it."""
    for item in items:
        packages = tuple(itertools.chain.from_iterable(m.args for m in item.iter_markers("debian")))
        missing = _missing(packages)
        if missing and not IS_ROOT and not os.environ.get("CI"):
            item.add_marker(pytest.mark.skip(reason=f"apt-get install {' '.join(missing)}"))
        elif missing:
            item.add_marker(pytest.mark.usefixtures("missing_package"))
        callspec = getattr(item, "callspec", None)
        as_root = callspec is not None and callspec.params.get("who") == "root"
        if (item.get_closest_marker("root_only") or as_root) and not IS_ROOT:
            item.add_marker(pytest.mark.skip(reason="needs root"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """After -m, -k and paths have chosen."""
    gc.enable()
    if (file := session.config.getoption("--needed-packages")) is not None:
        marks = itertools.chain.from_iterable(item.iter_markers("debian") for item in session.items)
        needed = {*ALWAYS, *itertools.chain.from_iterable(mark.args for mark in marks)}
        Path(file).write_text("".join(f"{package}\n" for package in sorted(needed)))


@pytest.fixture
def missing_package(request: pytest.FixtureRequest) -> None:
    """A tool that a test declares is not installed though it could be."""
    packages = tuple(itertools.chain.from_iterable(m.args for m in request.node.iter_markers("debian")))
    pytest.fail(f"missing Debian packages: {' '.join(_missing(packages))}; run tools/test")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that take `who` run as root and as an ordinary user, those that take `trap` with every trap."""
    marks = {m.name: m.args for m in metafunc.definition.iter_markers()}
    wanted = [n for n in ("who", "trap") if n in metafunc.fixturenames and not _is_parametrised(metafunc, n)]
    every = metafunc.config.getoption("--all-points")
    if "heavy" in marks and wanted == ["who", "trap"] and not every:
        pairs = [("root", box_module.traps()[0]), ("user", box_module.traps()[-1])]
        if marks["heavy"]:
            pairs = [pair for pair in pairs if pair[0] in marks["heavy"]]
        metafunc.parametrize(("who", "trap"), pairs, indirect=True)
        return
    if "who" in wanted:
        metafunc.parametrize("who", ["root"] if "root_only" in marks else ["root", "user"], indirect=True)
    if "trap" in wanted:
        metafunc.parametrize("trap", box_module.traps(), indirect=True)


def _is_parametrised(metafunc: pytest.Metafunc, name: str) -> bool:
    return any(name in str(m.args[0]) for m in metafunc.definition.iter_markers("parametrize"))


@pytest.fixture
def who(request: pytest.FixtureRequest) -> Who:
    """Who runs the commands of a test."""
    return ROOT if request.param == "root" else USER


@pytest.fixture
def trap(request: pytest.FixtureRequest) -> str:
    """The trap to use."""
    return str(request.param)


@pytest.fixture(scope="session")
def base() -> Iterator[Path]:
    """A directory for everything, open for others, removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="ptoverlay-tests-"))
    own = os.geteuid() == 0 and host.mount_disk(path)
    path.chmod(0o755)
    yield path
    if own:
        host.unmount(path, later=True)
        path.rmdir()
    else:
        remove(path)


@pytest.fixture(scope="module")
def memory(base: Path) -> Iterator[Path]:
    """A tmpfs."""
    path = base / "memory"
    path.mkdir(exist_ok=True)
    host.mount_tmpfs(path)
    yield path
    host.unmount(path)


@pytest.fixture
def sequence_settings(request: pytest.FixtureRequest) -> settings:
    """The number of sequences, the same ones each time unless more are asked for."""
    from hypothesis import HealthCheck, Phase, settings  # which takes longer to import than a test to begin

    count = request.config.getoption("--sequences")
    return settings(max_examples=count or 2000, derandomize=not count, deadline=None, database=None,
                    phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="session")
def subjects(base: Path) -> Iterator[Subjects]:
    """The C programs of tests/subjects."""
    directory = base / "subjects"
    directory.mkdir()
    directory.chmod(0o755)
    with shared_directory() as shared:
        yield Subjects(directory, shared)


@pytest.fixture(scope="session")
def fault_points(base: Path) -> Path:
    """tests/subjects/faults.c with the view."""
    return faults.build(base / "fault-points")


_numbers = itertools.count()


@pytest.fixture
def area(base: Path) -> Iterator[Path]:
    """An empty directory of this test's own; removed unless the test failed to clean up its processes."""
    path = base / f"a{next(_numbers):05}"
    path.mkdir()
    path.chmod(0o755)
    yield path
    remove(path)


@pytest.fixture
def tmp_path(base: Path) -> Path:
    """pytest's, where everything else of a test lies; it stays, as what a test has left running may use it."""
    path = base / f"t{next(_numbers):05}"
    path.mkdir(0o700)
    return path


@pytest.fixture
def make_world(area: Path, subjects: Subjects) -> Iterator[Callable[[Who, str], World]]:
    """Makes worlds for tests that want their own who and trap."""
    made: list[World] = []

    def make(who: Who, trap: str) -> World:
        path = area / f"w{len(made)}"
        path.mkdir()
        path.chmod(0o755)
        world = World(path, subjects, who, trap)
        made.append(world)
        return world

    yield make
    for world in made:
        world.assert_lowers_untouched()


@pytest.fixture
def world(make_world: Callable[[Who, str], World], who: Who, trap: str) -> World:
    """Layers for one end-to-end test; afterwards the lowers have to be what they were."""
    return make_world(who, trap)


@pytest.fixture
def open_bench(make_world: Callable[..., World]) -> Iterator[Callable[..., Bench]]:
    """Opens a bench on lowers given as lists of nodes, topmost first; upper: nodes of the upper layer."""
    benches: list[Bench] = []
    held = os.listdir("/proc/self/fd")

    def make(*lowers: list[Node], upper: list[Node] | None = None, flags: int = 0) -> Bench:
        world = make_world(SELF, "none")
        for nodes in lowers:
            write(world.add_lower(), [Node(".", "dir", 0o755), *nodes], OWNER)
        write(world.upper, [Node(".", "dir", 0o755), *(upper or [])], OWNER)
        world.freeze()
        benches.append(Bench(world, flags))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()
    assert os.listdir("/proc/self/fd") == held, "descriptors are left"


def _running(base: Path) -> list[str]:
    """The processes that name the tests' directory."""
    done = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if str(base) in line]


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_running(base: Path) -> Iterator[None]:
    """Every process that a test started has ended when the suite ends, or is ending: a supervisor outlives the command
    that it answered by a moment."""
    yield
    end = time.monotonic() + ENDING
    while (ours := _running(base)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not ours, "left running:\n" + "\n".join(ours)
