"""Random layers and random sequences of calls, as data: made by hypothesis, played by players.py, told as a script.

Paths have few names, so that calls meet; errors are as welcome as successes.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import strategies as st

#: mtime that is laid out, in seconds: what the clock gives is later.
LAID_OUT = 1_000_000_000
NAMES = "abc"
#: Flags of open(2) that a call `write` opens with, by name: the names are what a script holds.
WRITE_FLAGS = {
    "w": os.O_WRONLY,
    "wc": os.O_WRONLY | os.O_CREAT,
    "wcx": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "wt": os.O_WRONLY | os.O_TRUNC,
    "wca": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "rw": os.O_RDWR,
}


@dataclass(frozen=True)
class Make:
    """One object, or one mark, of a layer.

    kind: dir file link fifo hard whiteout marked (the two forms of whiteouts) opaque redirect xattr; value: content of
    a file, target of a link, the other name of a hard link, an attribute's value; mode: of a dir or file."""

    kind: str
    path: str
    value: str = ""
    mode: int = 0o644


Layer = tuple[Make, ...]


@dataclass(frozen=True)
class Step:
    """One call by one process; a line of the script that subjects/replay.c reads."""

    op: str
    args: tuple[str | int, ...] = ()
    worker: int = 0

    def line(self) -> str:
        return " ".join(map(str, (self.worker, self.op, *self.args)))


@dataclass(frozen=True)
class Trial:
    """lowers: topmost first, each made before the calls; upper: what an earlier run left.

    user: user.overlay.* attributes and no redirects, as the mount option userxattr."""

    lowers: tuple[Layer, ...]
    upper: Layer
    steps: tuple[Step, ...]
    user: bool = False


# ---- strategies


def _paths(depth: int = 3) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(NAMES), min_size=1, max_size=depth).map("/".join)


PATHS = _paths()
#: What calls are given: now and then with dots, or a slash at the end.
CALL_PATHS = st.one_of(PATHS, PATHS, PATHS, PATHS, PATHS, PATHS, PATHS.map(lambda p: p + "/"),
                       st.builds("{}/../{}".format, PATHS, PATHS), PATHS.map(lambda p: p + "/."))
#: None leads to the top directory, from which ".." would lead out.
TARGETS = st.sampled_from(["a", "b/c", "a/../b", "c/a/b", "none"])
LAYER_MODES = st.sampled_from([0o644, 0o600, 0o755, 0o711, 0o444, 0o2755, 0o1777])
MODES = st.sampled_from([0o600, 0o711, 0o755, 0o700, 0o4755, 0o2755, 0o1777])
VALUES = st.sampled_from(["", "x", "content", "longer content"])
XATTRS = st.sampled_from(["user.x", "user.y", "trusted.z"])


def _makes(below: bool, user: bool) -> st.SearchStrategy[Make]:
    """below: something lies under this layer, so that it can hold whiteouts and marks."""
    directories = st.builds(Make, st.just("dir"), PATHS, mode=LAYER_MODES.map(lambda m: m | 0o700))
    files = st.builds(Make, st.just("file"), PATHS, VALUES, LAYER_MODES)
    others = [
        st.builds(Make, st.just("link"), PATHS, TARGETS),
        st.builds(Make, st.just("fifo"), PATHS),
        st.builds(Make, st.just("xattr"), PATHS, VALUES),
    ]
    marks = [
        st.builds(Make, st.just("whiteout"), PATHS),
        st.builds(Make, st.just("opaque"), PATHS),
        st.builds(Make, st.just("marked"), PATHS),
        st.builds(Make, st.just("redirect"), PATHS, st.one_of(st.sampled_from(NAMES), PATHS.map(lambda p: "/" + p))),
    ]
    if not below:
        links = st.builds(Make, st.just("hard"), PATHS, PATHS)
        return st.one_of(directories, directories, files, files, *others, links)
    return st.one_of(directories, directories, directories, files, files, *others, *(marks[:3] if user else marks))


@functools.cache  # what a strategy can draw is worked out once for each object
def _layers(below: bool, user: bool, size: int) -> st.SearchStrategy[Layer]:
    return st.lists(_makes(below, user), max_size=size).map(tuple)


@functools.cache
def _uppers(user: bool) -> st.SearchStrategy[Layer]:
    return st.one_of(st.just(()), _layers(True, user, 6))


def _step(op: str, *args: st.SearchStrategy[str] | st.SearchStrategy[int]) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.just(op), st.tuples(*args))


#: Calls by path, each of which stands alone: what both kinds of player know.
BY_PATH: list[st.SearchStrategy[Step]] = [
    _step("mkdir", CALL_PATHS, MODES),
    _step("rmdir", CALL_PATHS),
    _step("unlink", CALL_PATHS),
    _step("symlink", TARGETS, CALL_PATHS),
    _step("mkfifo", CALL_PATHS, MODES),
    _step("link", CALL_PATHS, CALL_PATHS),
    _step("rename", CALL_PATHS, CALL_PATHS, st.just(0)),
    _step("rename", PATHS, PATHS, st.just(0)),
    _step("rename", PATHS, PATHS, st.just(0)),
    _step("rename", CALL_PATHS, CALL_PATHS, st.sampled_from([1, 2, 2, 4])),
    _step("chmod", CALL_PATHS, MODES),
    _step("chown", CALL_PATHS, st.sampled_from([0, 1, 4711]), st.sampled_from([0, 4711])),
    _step("utimes", CALL_PATHS, st.integers(1, 3).map(lambda n: n * 100_000_000)),
    _step("truncate", CALL_PATHS, st.integers(0, 9)),
    _step("setxattr", CALL_PATHS, XATTRS, st.sampled_from(["1", "other"])),
    _step("removexattr", CALL_PATHS, XATTRS),
    _step("write", CALL_PATHS, st.sampled_from(sorted(WRITE_FLAGS)), st.sampled_from(["w", "written"])),
    _step("write", PATHS, st.sampled_from(sorted(WRITE_FLAGS)), st.sampled_from(["w", "written"])),
    _step("stat", CALL_PATHS),
    _step("list", CALL_PATHS),
    _step("read", CALL_PATHS),
]


_USERS = st.sampled_from([False, False, False, True])
_COUNTS = st.sampled_from([1, 1, 2, 3])


@st.composite
def _trials(draw: st.DrawFn, calls: st.SearchStrategy[list[Step]]) -> Trial:
    user, count = draw(_USERS), draw(_COUNTS)
    lowers = tuple(draw(_layers(i < count - 1, user, 10)) for i in range(count))
    return Trial(lowers, draw(_uppers(user)), tuple(draw(calls)), user)


def sequences(steps: st.SearchStrategy[Step], longest: int = 20) -> st.SearchStrategy[Trial]:
    """One to three lowers, sometimes an upper with something in it, and calls."""
    return _trials(st.lists(steps, min_size=1, max_size=longest))


@dataclass(frozen=True)
class Round:
    """One run on a stack: what its upper holds before, calls, and whose upper is the next lower, kernel or view."""

    made: Layer
    steps: tuple[Step, ...]
    kept: str


@dataclass(frozen=True)
class Stack:
    """A lowest layer, and runs of which each goes on from all before."""

    lowest: Layer
    rounds: tuple[Round, ...]

    def __str__(self) -> str:
        lines = [f"lowest: {make}" for make in self.lowest]
        for number, each in enumerate(self.rounds):
            lines += [f"round {number}, before: {make}" for make in each.made]
            lines += [f"round {number}: {step.line()}" for step in each.steps]
            lines.append(f"round {number}: the upper of the {each.kept} is kept")
        return "\n".join(lines)


#: Three levels of directories, each with a file that tells which one it is.
_LOWEST = [Make("dir", path, mode=0o755) for path in ("a/b/c", "b/c/a", "c/a/b", "a/a", "b/b")]
_LOWEST += [Make("file", f"{make.path}/f", make.path) for make in _LOWEST]
_FILES = PATHS.map(lambda p: p + "/f")
_OTHERS = st.one_of(_step("unlink", _FILES), _step("rmdir", PATHS),
                    _step("write", _FILES, st.just("wc"), VALUES),
                    _step("chmod", PATHS, MODES), _step("link", _FILES, PATHS))


_ENDS = st.sampled_from("ffg")
_OPS = st.sampled_from(["chmod", "rename", "link"])
_NEW_NAMES = st.sampled_from(NAMES + "de")
_KEPT = st.sampled_from(["kernel", "view"])


class _Directories:
    """The directories that a stack shows, as far as the calls succeed: so that most of them do."""

    def __init__(self) -> None:
        self.paths = {"/".join(parts[:n + 1]) for make in _LOWEST if make.kind == "dir"
                      for parts in [make.path.split("/")] for n in range(len(parts))}

    def _move(self, old: str, new: str) -> None:
        below = [path for path in self.paths if f"{path}/".startswith(f"{old}/")]
        self.paths = self.paths.difference(below) | {new + path[len(old):] for path in below}

    def _file_step(self, draw: st.DrawFn) -> Step:
        """The file of a directory changes its mode, or gets another name."""
        paths = sorted(self.paths)
        old, new = (f"{draw(st.sampled_from(paths))}/{draw(_ENDS)}" for _ in range(2))
        op = draw(_OPS)
        return Step(op, (old, 0o600) if op == "chmod" else (old, new, 0) if op == "rename" else (old, new))

    def step(self, draw: st.DrawFn) -> Step:
        """A rename, mostly; else a directory where there was one, or something else."""
        choice = draw(st.integers(0, 8)) if self.paths else 0
        if choice < 2:
            return draw(_OTHERS) if choice == 0 else self._file_step(draw)
        old = draw(st.sampled_from(sorted(self.paths)))
        name = draw(_NEW_NAMES)
        if draw(st.integers(0, 5)) == 0:
            self.paths.add(f"{old}/{name}")
            return Step("mkdir", (f"{old}/{name}", 0o755))
        parent = draw(st.sampled_from([os.path.dirname(old), os.path.dirname(old), "", *sorted(self.paths)]))
        new = os.path.join(parent, name)
        if new not in self.paths:
            self._move(old, new)
            return Step("rename", (old, new, 0))
        if not f"{new}/".startswith(f"{old}/") and not f"{old}/".startswith(f"{new}/"):
            self._move(old, "/")
            self._move(new, old)
            self._move("/", new)
        return Step("rename", (old, new, 2))


@st.composite
def stacks(draw: st.DrawFn, fewest: int = 2, most: int = 12) -> Stack:
    """Stacks of so many layers, the upper of the last round among them."""
    directories = _Directories()
    rounds = []
    for _ in range(draw(st.integers(fewest, most)) - 1):
        made = draw(_layers(True, False, 4)) if draw(st.integers(0, 7)) == 0 else ()
        steps = tuple(directories.step(draw) for _ in range(draw(st.integers(0, 6))))
        rounds.append(Round(made, steps, draw(_KEPT)))
    return Stack((*_LOWEST, *draw(_layers(False, False, 4))), tuple(rounds))


# ---- laying out


def _marks(prefix: str, make: Make) -> list[tuple[str, str, bytes]]:
    """(path, attribute, value) of a mark."""
    parent = os.path.dirname(make.path) or "."
    return {
        "opaque": [(make.path, f"{prefix}opaque", b"y")],
        "redirect": [(make.path, f"{prefix}redirect", make.value.encode())],
        "marked": [(make.path, f"{prefix}whiteout", b"y"), (parent, f"{prefix}opaque", b"x")],
        "xattr": [(make.path, "user.laid", make.value.encode())],
    }.get(make.kind, [])


def _target(make: Make) -> str:
    """What a redirect leads to, in the layer: a whiteout there, as a rename leaves it."""
    value = make.value
    return value[1:] if value.startswith("/") else os.path.join(os.path.dirname(make.path), value)


def _check_parent(path: Path) -> None:
    """No symlink on the way."""
    if os.path.realpath(path.parent) != str(path.parent):
        raise NotADirectoryError(path.parent)


def _before_mark(layer: Path, prefix: str, make: Make) -> None:
    """What a mark needs to be one that an overlay could have left."""
    path = layer / make.path
    if make.kind != "xattr" and (path.is_symlink() or not path.is_dir()):
        raise NotADirectoryError(path)
    if make.kind == "opaque" and f"{prefix}opaque" in os.listxattr(path):
        raise FileExistsError(path)  # the mark of a directory with whiteouts of the second form
    if make.kind == "redirect":
        target = layer / _target(make)
        _check_parent(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.mknod(target, 0o020000, 0)


def _make_object(layer: Path, make: Make) -> None:
    path = layer / make.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if make.kind == "dir":
        path.mkdir(exist_ok=True)
        path.chmod(make.mode)
    elif make.kind in ("file", "marked"):
        with path.open("x") as file:
            file.write("" if make.kind == "marked" else make.value)
        path.chmod(make.mode)
    elif make.kind == "link":
        path.symlink_to(make.value)
    elif make.kind == "fifo":
        os.mkfifo(path)
    elif make.kind == "hard":
        os.link(layer / make.value, path, follow_symlinks=False)
    elif make.kind == "whiteout":
        os.mknod(path, 0o020000, 0)


def _make(layer: Path, prefix: str, make: Make) -> None:
    _check_parent(layer / make.path)
    if make.kind in ("opaque", "redirect", "xattr"):
        _before_mark(layer, prefix, make)
    else:
        _make_object(layer, make)
    for place, name, value in _marks(prefix, make):
        os.setxattr(layer / place, name, value, follow_symlinks=False)


def lay_out(layer: Path, makes: Sequence[Make], prefix: str) -> list[Make]:
    """Makes what can be made, in order, and returns it; what cannot (a name that is taken) is left out."""
    layer = layer.resolve()
    made = []
    for make in makes:
        with contextlib.suppress(OSError):
            _make(layer, prefix, make)
            made.append(make)
    for directory, names, files in os.walk(layer, topdown=False):
        for name in (*names, *files):
            os.utime(os.path.join(directory, name), (LAID_OUT, LAID_OUT), follow_symlinks=False)
    os.utime(layer, (LAID_OUT, LAID_OUT))
    return made


def _made(makes: Sequence[Make], prefix: str) -> list[Make]:
    """Those that lay_out() makes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as layer:
        return lay_out(Path(layer), makes, prefix)


# ---- telling


def _shell(layer: str, make: Make, prefix: str) -> str:
    """The command that makes it."""
    path = f"{layer}/{make.path}"
    parents = f"mkdir -p {shlex.quote(os.path.dirname(path))}; "
    path = shlex.quote(path)
    commands = {
        "dir": f"mkdir -p {path}; chmod {make.mode:o} {path}",
        "file": f"(set -C; printf %s {shlex.quote(make.value)} > {path}) && chmod {make.mode:o} {path}",
        "marked": f"(set -C; : > {path})",
        "link": f"ln -sT {shlex.quote(make.value)} {path}",
        "fifo": f"mkfifo {path}",
        "hard": f"ln -P {shlex.quote(f'{layer}/{make.value}')} {path}",
        "whiteout": f"mknod {path} c 0 0",
    }
    marks = [f"setfattr -h -n {name} -v {shlex.quote(value.decode())} {shlex.quote(f'{layer}/{place}')}"
             for place, name, value in _marks(prefix, make)]
    if make.kind == "redirect":
        target = f"{layer}/{_target(make)}"
        marks.insert(0, f"mkdir -p {shlex.quote(os.path.dirname(target))} && mknod {shlex.quote(target)} c 0 0")
    if make.kind not in commands:
        return " && ".join(marks)
    return parents + " && ".join([commands[make.kind], *marks])


def script(sequence: Trial) -> str:
    """A shell script, for root, that lays the layers out and runs the calls on the kernel's overlayfs and here."""
    prefix = prefix_of(sequence.user)
    lowers = [f"lower{i}" for i in range(len(sequence.lowers))]
    layers = [*zip(lowers, sequence.lowers, strict=True), ("upper", sequence.upper)]
    making = [_shell(name, make, prefix) for name, makes in layers for make in _made(makes, prefix)]
    options = ["-o", "userxattr", "-o", "redirect_dir=off"] if sequence.user else []
    kernel = f"lowerdir={':'.join(lowers)},upperdir=kupper,workdir=kwork,{kernel_options(sequence.user)}"
    return "\n".join([
        "#!/bin/sh",
        "# From the top of the source tree: sh SCRIPT",
        "top=$PWD; d=$(mktemp -d); cd $d",
        f"mkdir {' '.join(lowers)} upper work kwork mnt",
        "gcc -O1 -static -o replay $top/tests/subjects/replay.c",
        *making,
        f"find {' '.join(lowers)} upper -depth -exec touch -h -d @{LAID_OUT} {{}} +",
        "cp -a upper kupper",
        "cat > calls <<'END'",
        *(step.line() for step in sequence.steps),
        "END",
        f"unshare -m sh -c 'mount -t overlay overlay -o {kernel} mnt && ./replay mnt < calls' > kernel.out",
        f"$top/tools/run run -l {':'.join(lowers)} -u upper -w work -m mnt {' '.join(options)} -- "
        "./replay mnt < calls > view.out",
        "diff -U 1 kernel.out view.out && echo same; echo in $d",
    ])


def kernel_options(user: bool) -> str:
    """The mount options beside the directories."""
    return "userxattr,index=on,xino=on" if user else "index=on,redirect_dir=on,xino=on,metacopy=off"


def prefix_of(user: bool) -> str:
    return "user.overlay." if user else "trusted.overlay."



# ---- several processes

_SLOTS = st.integers(0, 1)
#: Paths as before, and relative to an open directory.
_REACHED = st.one_of(CALL_PATHS, CALL_PATHS, CALL_PATHS, st.builds("@{}/{}".format, _SLOTS, PATHS))
_OPEN_FLAGS = st.sampled_from(["r", "r", "r", "w", "rw", "rwc", "wcx", "wt", "wa", "rd", "rd", "p", "rn"])

#: What needs a process that goes on: descriptors, directory streams, the current directory, children.
OF_A_PROCESS: list[st.SearchStrategy[Step]] = [
    _step("open", _SLOTS, _REACHED, _OPEN_FLAGS),
    _step("open", _SLOTS, PATHS, _OPEN_FLAGS),
    _step("close", _SLOTS),
    _step("dup", _SLOTS, _SLOTS),
    _step("fread", _SLOTS),
    _step("fwrite", _SLOTS, st.sampled_from(["f", "fwritten"])),
    _step("lseek", _SLOTS, st.integers(0, 5)),
    _step("fstat", _SLOTS),
    _step("fchmod", _SLOTS, MODES),
    _step("ftruncate", _SLOTS, st.integers(0, 9)),
    _step("fsetxattr", _SLOTS, XATTRS, st.just("f")),
    _step("fsync", _SLOTS),
    _step("fchdir", _SLOTS),
    _step("opendir", _SLOTS, _REACHED),
    _step("readdir", _SLOTS),
    _step("names", _SLOTS),
    _step("telldir", _SLOTS),
    _step("seekdir", _SLOTS),
    _step("rewinddir", _SLOTS),
    _step("closedir", _SLOTS),
    _step("chdir", PATHS),
    _step("getcwd"),
    _step("stat", _REACHED),
    _step("access", _REACHED, st.integers(0, 7)),
    _step("mkdir", _REACHED, MODES),
    _step("unlink", _REACHED),
    _step("listxattr", _REACHED),
]


def _in_child(step: Step) -> Step:
    return replace(step, op="child", args=(step.op, *step.args))


@st.composite
def _trials_of_processes(draw: st.DrawFn, calls: st.SearchStrategy[list[Step]]) -> Trial:
    lowers = tuple(draw(_layers(i == 0, False, 10)) for i in range(2))
    return Trial(lowers, draw(_uppers(False)), tuple(draw(calls)))


def processes(longest: int = 30) -> st.SearchStrategy[Trial]:
    """Two lowers, sometimes an upper, and calls of up to three processes."""
    steps = st.one_of(*BY_PATH, *OF_A_PROCESS, *OF_A_PROCESS)
    steps = st.one_of(steps, steps, steps, steps, steps.map(_in_child))
    steps = st.builds(lambda step, worker: replace(step, worker=worker), steps, st.sampled_from([0, 0, 1, 2]))
    return _trials_of_processes(st.lists(steps, min_size=4, max_size=longest))


def moved(makes: Sequence[Make], top: str) -> list[Make]:
    """The same objects for a subdirectory of a layer: absolute redirects begin at the layer's root."""
    return [replace(m, value=f"/{top}{m.value}") if m.kind == "redirect" and m.value[:1] == "/" else m for m in makes]
