"""What cannot be run ends with one clear line and its status, and changes nothing.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import box
from support.oracle import Done, Who, as_user, run
from support.snapshot import TREE, assert_equal
from support.trees import OLD, Node, settle
from support.world import World

SYS_PTRACE = {"x86_64": 101, "aarch64": 117}[os.uname().machine]


@pytest.fixture
def small(world: World) -> World:
    """A lower with little in it, and a file and a closed directory beside it."""
    world.lay_out(
        [
            Node(".", "dir", 0o755),
            Node("file", content=b"x"),
            Node("dir", "dir", 0o755),
            Node("prog", mode=0o755, content=b"#!/absent\n"),
        ]
    )
    extra = world.area / "extra"
    extra.mkdir()
    (extra / "file").write_text("not a directory")
    (extra / "closed").mkdir()
    (extra / "closed").chmod(0)
    (extra / "comma,colon:name").mkdir()
    (extra / "link").symlink_to(world.lowers[0])
    (world.upper / "inside").mkdir()
    (world.upper / "inside").chmod(0o755)
    os.chown(world.upper / "inside", *world.owner)
    settle(world.area)
    world.freeze()
    return world


def ptoverlay(world: World, arguments: Sequence[str | Path], before: Sequence[str | Path] = ()) -> Done:
    """Runs the command line as the world's user, in the area."""
    command = [*as_user(world.who), *map(str, before), *box.command(), *map(str, arguments)]
    return run(command, cwd=world.area, env=world.env, timeout=60)


def refused(
    world: World, arguments: Sequence[str | Path], status: int, word: str, before: Sequence[str | Path] = ()
) -> Done:
    """It has to end with this status and one line that has `word` in it, and leave everything as it was."""
    snapshot = world.raw_snapshot(world.area)
    done = ptoverlay(world, arguments, before)
    shown = f"{arguments}: status {done.status}\n{done.out}\n{done.err}"
    assert done.status == status, shown
    lines = done.err.splitlines()
    assert len(lines) == 1, shown
    assert lines[0].startswith("ptoverlay: "), shown
    assert lines[0].count(": ") >= 2, shown
    assert word.lower() in lines[0].lower(), shown
    assert done.out == "", shown
    # that a scratch directory was made in the work directory and taken away again shows in its mtime only
    ignore = [r"^work$"]
    assert_equal("something was changed", snapshot, world.raw_snapshot(world.area), TREE, ignore=ignore)
    return done


def layers(world: World, **other: str | Path) -> list[str | Path]:
    """-l -u -w -m with the world's directories, some replaced."""
    where: dict[str, str | Path] = {"l": world.lowers[0], "u": world.upper, "w": world.work, "m": world.mount}
    where |= other
    return [part for letter, path in where.items() if path for part in (f"-{letter}", path)]


TRUE = ["--", "/bin/true"]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("letter", "what"),
    [
        ("l", "absent"),
        ("l", "extra/file"),
        ("u", "extra/file"),
        ("w", "extra/file"),
        ("m", "absent"),
        ("m", "extra/file"),
    ],
)
def test_directory_that_is_none(small: World, letter: str, what: str) -> None:
    """A layer or mount point that is missing or a file."""
    word = "no such file" if what == "absent" else "not a directory"
    refused(small, [*layers(small, **{letter: small.area / what}), *TRUE], 125, word)


@pytest.mark.root_only
@pytest.mark.parametrize("words", [["--", "true"], ["--check"]])
def test_without_proc(who: Who, words: list[str]) -> None:
    """A chroot where nobody has mounted it."""
    script = 'mount -t tmpfs none /proc && exec "$@"'
    done = run(["unshare", "-m", *as_user(who), "sh", "-c", script, "sh", *box.command(), *words])
    assert (done.status, done.out) == (125, "")
    assert done.err == "ptoverlay: /proc: not mounted (mount -t proc proc /proc)\n"


def test_an_upper_that_is_a_file(small: World) -> None:
    """The line is about the upper, not about the work directory that would be beside it."""
    done = refused(small, [*layers(small, u=small.area / "extra/file", w=""), *TRUE], 125, "not a directory")
    assert "extra/file: upper: " in done.err


def test_one_of_several_lowers_is_missing(small: World) -> None:
    """The line names that one."""
    done = refused(small, [*layers(small, l=f"{small.lowers[0]}:{small.area}/absent"), *TRUE], 125, "no such file")
    assert f"{small.area}/absent" in done.err


def test_unreadable_lower(small: World) -> None:
    """A directory that we may not read."""
    if small.who.is_root:
        pytest.skip("root reads everything")
    refused(small, [*layers(small, l=small.area / "extra/closed"), *TRUE], 125, "permission denied")
    refused(small, [*layers(small, l=small.area / "extra/closed/below"), *TRUE], 125, "permission denied")


def test_unwritable_upper(small: World) -> None:
    """An upper that we may not write."""
    if small.who.is_root:
        pytest.skip("root writes everything")
    refused(small, [*layers(small, u="/usr/share", w=""), *TRUE], 125, "permission denied")


@pytest.mark.parametrize("which", ["u", "w"])
def test_upper_or_work_is_the_lower(small: World, which: str) -> None:
    """They would write to the lower."""
    refused(small, [*layers(small, **{which: small.lowers[0]}), *TRUE], 125, str(small.lowers[0]))


def test_upper_is_the_work_directory(small: World) -> None:
    """Nor can it be its own work directory, or one inside the other."""
    refused(small, [*layers(small, w=small.upper), *TRUE], 125, str(small.upper))
    refused(small, [*layers(small, u=small.work), *TRUE], 125, str(small.work))
    refused(small, [*layers(small, w=small.upper / "inside"), *TRUE], 125, "inside")


def test_upper_is_the_lower_by_another_name(small: World) -> None:
    """A symlink to the lower is the lower."""
    refused(small, [*layers(small, u=small.area / "extra/link"), *TRUE], 125, "")


def test_work_on_another_file_system(small: World) -> None:
    """Renames from work to upper would not be possible."""
    other = Path("/dev/shm") / f"ptoverlay-tests-work-{os.getpid()}"
    other.mkdir()
    os.chown(other, *small.owner)
    try:
        refused(small, [*layers(small, w=other), *TRUE], 125, "")
        assert not list(other.iterdir())
    finally:
        other.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_upper_on_a_read_only_file_system(small: World) -> None:
    """EROFS before anything starts."""
    place = small.area / "extra/read-only"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    try:
        for name in ("upper", "work"):
            (place / name).mkdir()
            os.chown(place / name, *small.owner)
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        os.utime(place.parent, ns=(OLD, OLD))
        refused(small, [*layers(small, u=place / "upper", w=place / "work"), *TRUE], 125, "read-only")
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("shared", ["upper", "work", "both"])
def test_upper_in_use(small: World, shared: str) -> None:
    """A second run on the same upper or work is refused while the first one goes on, and possible afterwards."""
    command = [*as_user(small.who), *box.command(), *map(str, layers(small)), "--trap", small.trap, "--", "/bin/cat"]
    first = subprocess.Popen(
        command, cwd=small.area, env=small.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdin is not None
    assert first.stdout is not None
    try:
        first.stdin.write("ready\n")
        first.stdin.flush()
        assert first.stdout.readline() == "ready\n"
        other = {"upper": {"w": small.kernel_work}, "work": {"u": small.kernel_upper}, "both": {}}[shared]
        refused(small, [*layers(small, **other), *TRUE], 125, "in use")
    finally:
        first.stdin.close()
        assert first.wait(timeout=30) == 0
    assert ptoverlay(small, [*layers(small), *TRUE]).status == 0


@pytest.mark.quick
@pytest.mark.parametrize(
    ("command", "status", "word"),
    [
        (["absent-command"], 127, "absent-command"),
        (["/absent/command"], 127, "no such file"),
        (["./file/x"], 126, "not a directory"),
        (["./file"], 126, "permission denied"),
        (["./dir"], 126, "permission denied"),
        (["./prog"], 127, "no such file"),
        ([""], 127, ""),
    ],
)
def test_command_that_cannot_run(small: World, command: list[str], status: int, word: str) -> None:
    """127 when it is not found, 126 when it is found and cannot be executed."""
    refused(small, [*layers(small), "--trap", small.trap, "-C", small.mount, "--", *command], status, word)


@pytest.mark.quick
@pytest.mark.parametrize("directory", ["absent", "file", "dir/absent"])
def test_start_directory(small: World, directory: str) -> None:
    """-C has to name a directory of the view."""
    refused(small, [*layers(small), "-C", small.mount / directory, *TRUE], 125, directory)


@pytest.mark.quick
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["run"],
        ["--"],
        ["--no-such-option", "--", "/bin/true"],
        ["--trap", "magic", "--", "/bin/true"],
        ["-o", "no_such_option", "--", "/bin/true"],
        ["-o", "lowerdir=", "--", "/bin/true"],
        ["-l"],
        ["-l", "", "--", "/bin/true"],
        ["--overlay", "mount=/nowhere-at-all", "--", "/bin/true"],
        ["-o", "redirect_dir=perhaps", "--", "/bin/true"],
    ],
)
def test_command_line(small: World, arguments: list[str]) -> None:
    """A command line that means nothing."""
    refused(small, arguments, 125, "")


def test_hidden_places(small: World) -> None:
    """Special places have to exist, but for what is not to be there."""
    for option in ("--read-only", "--direct"):
        refused(small, [*layers(small), option, small.area / "absent", *TRUE], 125, "no such file")


def test_ptrace_forbidden(small: World) -> None:
    """A profile that forbids ptrace is named together with the remedy, before the command starts."""
    if small.trap != "ptrace":
        pytest.skip("this trap does without ptrace")
    before: list[str | Path] = [small.subjects.path("forbid"), f"{SYS_PTRACE}={errno.EPERM}"]
    marker = small.mount / "marker"
    arguments = [*layers(small), "--trap", "ptrace", "--", "/bin/sh", "-c", f"echo ran; touch {marker}"]
    done = refused(small, arguments, 125, "ptrace", before)
    assert "(" in done.err, "the line names no remedy"


def test_names_with_odd_characters(small: World) -> None:
    """A name with a newline in it still gives one line."""
    refused(small, [*layers(small, l=small.area / "two\nlines"), *TRUE], 125, "no such file")


def test_colons_and_commas(small: World) -> None:
    """Not bad at all: escaped, they are part of a name."""
    lower = small.area / "extra/comma,colon:name"
    (lower / "here").write_text("found")
    escaped = str(lower).replace(":", "\\:")
    done = ptoverlay(small, [*layers(small, l=escaped), "--", "/bin/cat", small.mount / "here"])
    assert (done.status, done.out, done.err) == (0, "found", "")
    options = f"lowerdir={escaped.replace(',', chr(92) + ',')},upperdir={small.upper},workdir={small.work}"
    done = ptoverlay(small, ["-o", options, "-m", small.mount, "--", "/bin/cat", small.mount / "here"])
    assert (done.status, done.out, done.err) == (0, "found", "")
