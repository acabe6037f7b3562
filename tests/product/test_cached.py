"""`ptoverlay cached`: a run whose inputs are as they were is not made again, and any other one is.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.oracle import Done, Who, run
from support.sandboxes import Tool, wait_for
from support.subjects import Subjects

pytestmark = pytest.mark.parametrize("who", ["user"], indirect=True)


class Cache:
    """Commands of a user, in a directory of the host."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.here = tool.lower
        self.store = tool.directory("cache") / "ptoverlay/cached"
        tool.env["XDG_CACHE_HOME"] = str(self.store.parent.parent)

    def __call__(self, *words: str, options: tuple[str, ...] = (), input: str | None = None) -> Done:
        """input: what a pipe brings; None: it reads /dev/null."""
        line = self.tool.words("cached", "--explain", "--close-descriptors", *options, "--", *words)
        if input is None:
            line = ["sh", "-c", 'exec "$@" </dev/null', "sh", *line]
        return run(line, cwd=self.here, env=self.tool.env, stdin=input or "")

    def explained(self, *words: str, options: tuple[str, ...] = ()) -> str:
        """The first line about it; CMD writes nothing to standard error, and ends well."""
        done = self(*words, options=options)
        assert done.status == 0, done.err
        return done.err.splitlines()[0].removeprefix("ptoverlay: cached: ")


@pytest.fixture
def cache(area: Path, who: Who) -> Cache:
    return Cache(Tool(area, who))


def replays(text: str) -> bool:
    assert text.startswith(("replayed: ", "runs: ")), text
    return text.startswith("replayed: ")


@pytest.mark.parametrize("trap", ["notify", "ptrace"])
@pytest.mark.debian("make", "gcc")
def test_make(cache: Cache, trap: str) -> None:
    """The second make of a project, whatever became of what the first one has made."""
    cache.tool.sh(
        "mkdir one two; echo '#define A 1' >two/h.h; "
        'for i in 1 2; do echo "#include \\"h.h\\"\nint f$i = A;" >$i.c; done; '
        "printf 'lib.a: 1.o 2.o\\n\\tar rcsD $@ $^\\n%%.o: %%.c\\n\\tcc -Ione -Itwo -c $< -o $@\\n' "
        ">Makefile"
    )
    made = ("1.o", "2.o", "lib.a")

    def make() -> tuple[bool, dict[str, bytes], str]:
        for name in made:
            (cache.here / name).unlink(missing_ok=True)
        done = cache("make", options=("--ignore-clock", "--trap", trap))
        assert done.status == 0, done.err
        replayed = replays(done.err.splitlines()[0].removeprefix("ptoverlay: cached: "))
        return replayed, {name: (cache.here / name).read_bytes() for name in made}, done.out

    first, again = make(), make()
    assert (first[0], again[0], first[1:]) == (False, True, again[1:])
    status = (cache.here / "lib.a").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (cache.tool.who.uid, 0o644)
    assert status.st_mtime >= (cache.here / "1.o").stat().st_mtime > (cache.here / "1.c").stat().st_mtime
    assert run(["make", "-q"], cwd=cache.here).status == 0, "what was replayed is up to date"
    cache.tool.sh("echo '#define A 2' >one/h.h")
    other = make()
    assert (other[0], other[1]["1.o"] == first[1]["1.o"]) == (False, False), "it had looked for it there"
    (cache.here / "one/h.h").unlink()
    assert make() == again
    assert not cache.tool.ok("list")


CHANGES: dict[str, tuple[str, str]] = {
    "content": ("echo x >>file", "file: other contents"),
    "time": ("touch -d @1000 file", "file: another time"),
    "mode": ("chmod 600 file", "file: another mode or owner"),
    "missing": ("echo x >none", "none: it is there now"),
    "missing directory": ("mkdir no", "no: it is there now"),
    "looked at": ("touch -d @1000 looked", "looked: another time"),
    "list": ("echo x >d/more", "d: other names in it"),
    "link": ("ln -sfn other link", "link: it leads to other"),
    "program": ("echo 'echo t' >>s.sh", "s.sh: other contents"),
    "gone": ("rm file", "file: it is gone"),
    "way": ("mv d e; ln -s e d", "d: it is a symlink"),
    "same size and time": ("touch -r file was; echo g >file; touch -r was file; rm was", "file: other contents"),
    "mapped": ("touch -r mapped was; echo n >mapped; touch -r was mapped; rm was", "mapped: other contents"),
    "interpreter": ("touch -r sh was; echo >>sh; touch -r was sh; rm was", "sh: other contents"),
    "link on the way": ("ln -sfn e way; cp -a d e", "way: it leads to e"),
}


def test_each_input(cache: Cache) -> None:
    """One that is another makes it run, and --explain names it."""
    cache.tool.sh(
        "mkdir d; echo x >d/x; echo f >file; echo o >other; echo l >looked; ln -s file link; "
        f"printf '#!{cache.here}/sh\\necho s\\n' >s.sh; chmod 755 s.sh; cp /bin/sh sh; echo m >mapped; ln -s d way"
    )
    mapped = "import mmap; f = open('mapped'); print(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:])"
    script = "cat file link d/x way/x; ls d; test -e none; test -e no/where; test -s looked; ./s.sh"
    words = ("sh", "-c", f'{script}; {sys.executable} -ISc "{mapped}"; exit 0')

    def explained(*options: str) -> str:
        return cache.explained(*words, options=("--ignore-clock", *options))

    assert explained() == "runs: this command is not remembered"
    assert replays(explained())
    for change, reason in CHANGES.values():
        cache.tool.sh(f"cp -a . {cache.tool.home}/kept; {change}")
        assert explained() == f"runs: {cache.here}/{reason}"
        cache.tool.sh(f"rm -rf * && cp -a {cache.tool.home}/kept/. . && rm -rf {cache.tool.home}/kept")
        # A copy has the same times, names and bytes.
        assert replays(explained()), change
    assert replays(explained("--ignore-times")) is False
    cache.tool.sh("touch file looked")
    assert replays(explained("--ignore-times"))


def test_the_command_itself(cache: Cache) -> None:
    assert not replays(cache.explained("env"))
    assert replays(cache.explained("env"))
    cache.tool.env["OTHER"] = "1"
    assert not replays(cache.explained("env"))
    cache.tool.env |= {"SHLVL": "7", "OLDPWD": "/"}
    done = cache("env")
    assert ("replayed" in done.err, "SHLVL" in done.out) == (True, False)
    cache.here = cache.tool.directory("elsewhere")
    assert not replays(cache.explained("env"))
    piped = [cache("cat", input=text) for text in ("1", "2")]
    assert [done.out for done in piped] == ["1", "2"], "what only reading tells it is left to read"
    assert all("not remembered: standard input is a pipe (--stdin reads it first" in done.err for done in piped)
    assert not replays(cache.explained("cat"))
    assert replays(cache.explained("cat"))
    assert [cache("cat", options=("--stdin",), input=text).out for text in ("1", "2", "1")] == ["1", "2", "1"]
    assert "replayed" in cache("cat", options=("--stdin",), input="2").err


def test_output_status_and_changes(cache: Cache) -> None:
    """All that a run leaves is there again: pieces of output in their order, names that are gone, links, attributes."""
    cache.tool.sh("mkdir old; echo g >old/gone; echo k >kept; echo m >moved; echo x >mode")
    script = """echo out; echo err >&2; echo more; rm -r old; mkdir -p new/deep; echo n >new/deep/file
chmod 700 new; ln -s deep new/link; mv moved there; chmod 751 mode; echo l >first; ln first second; echo added >>kept
touch -d @86400 new/deep/file; setfattr -n user.a -v 1 kept; exit 3"""
    cache.tool.sh(f"cp -a . {cache.tool.home}/before")

    def look() -> str:
        return cache.tool.sh(
            "find . -printf '%P %y %m %n %l %s\\n' | sort; stat -c %Y new/deep/file; cat kept there; getfattr -d kept"
        )

    first = cache("sh", "-c", script, options=("--ignore-clock",))
    assert first.status == 3, first.err
    seen = look()
    assert "new/deep/file f 644 1  2\n" in seen
    assert 'user.a="1"' in seen
    cache.tool.sh(f"chmod 755 new; rm -rf * && cp -a {cache.tool.home}/before/. .")
    again = cache("sh", "-c", script, options=("--ignore-clock",))
    assert "replayed" in again.err, again.err
    assert (first.status, again.status, first.out, again.out) == (3, 3, "out\nmore\n", "out\nmore\n")
    assert [line for line in again.err.splitlines() if "cached" not in line] == ["err"]
    assert look() == seen


def test_what_is_not_remembered(cache: Cache) -> None:
    """It runs each time, and says why."""
    listening = socket.socket(socket.AF_UNIX)
    name = str(cache.here / "there")
    listening.bind(name)
    os.chmod(name, 0o777)
    listening.listen(100)
    connect = f"import socket as s; s.socket(s.AF_UNIX).connect('{name}')"
    cases: dict[str, tuple[str, ...]] = {
        "it used the network": ("python3", "-c", "import socket as s; s.socket(s.AF_INET)"),
        f"it talked to {name}": ("python3", "-c", connect),
        "it used /proc/uptime": ("cat", "/proc/uptime"),
        f"{shutil.which('date')} asked for the time (--epoch SECONDS fixes it, --ignore-clock says that it does not "
        "matter)": ("date",),
        "it used /proc/1/stat": ("cat", "/proc/1/stat"),
        f"it made {cache.here}/pipe, which is no file, directory or symlink": ("mkfifo", "pipe"),
        "it used /dev/shm/ptoverlay-x": ("sh", "-c", ": >/dev/shm/ptoverlay-x; rm /dev/shm/ptoverlay-x"),
    }
    for why, words in cases.items():
        options = () if words[0] == "date" else ("--ignore-clock",)
        told = [cache(*words, options=options).err for _ in range(2)]
        assert f"ptoverlay: cached: not remembered: {why}\n" in told[0], told
        assert "replayed" not in told[1]
    listening.close()
    (cache.here / "there").unlink()
    done = cache("sh", "-c", "kill -TERM $$")
    assert (done.status, "not remembered: signal 15 ended it" in done.err) == (128 + signal.SIGTERM, True)
    line = cache.tool.words("cached", "--explain", "--", "true")
    done = run(
        ["sh", "-c", 'exec 7</etc/passwd; exec "$@" </dev/null', "sh", *line], cwd=cache.here, env=cache.tool.env
    )
    assert "not remembered: CMD has descriptor 7 from outside" in done.err


@pytest.mark.parametrize("trap", ["notify", "ptrace"])
def test_the_time(cache: Cache, subjects: Subjects, trap: str) -> None:
    """Who asks for one that is not fixed is run again; a fixed one is an input, and one that was said not to matter
    is none."""
    by_trap = ("--trap", trap)
    clocks = str(subjects.path("clocks"))
    asking = ("clock_gettime", "system call", "processor", "gettimeofday", "time", "times")
    told = {way: cache(clocks, way, options=by_trap) for way in (*asking, "none")}
    assert {done.status for done in told.values()} == {0}
    assert [way for way in told if f"not remembered: {clocks} asked for the time" in told[way].err] == [*asking]
    assert not replays(cache.explained(clocks, "time", options=by_trap))
    assert replays(cache.explained(clocks, "none", options=by_trap))
    at = [cache("date", "+%s", options=("--epoch", epoch, *by_trap)) for epoch in ("1000", "1000", "2000")]
    assert [done.out for done in at] == ["1000\n", "1000\n", "2000\n"]
    assert ["replayed" in done.err for done in at] == [False, True, False]
    ignored = [cache("date", "+%N", options=("--ignore-clock", *by_trap)) for _ in range(2)]
    assert ignored[0].out == ignored[1].out
    assert "replayed" in ignored[1].err
    assert cache("true", options=("--epoch", "x")).status == 125
    assert cache("true", options=("--epoch", "1", "--ignore-clock")).status == 125


@pytest.mark.parametrize("trap", ["notify", "ptrace"])
def test_random_bytes(cache: Cache, trap: str) -> None:
    """They come from the store's secret and the command, whichever way they are asked for."""
    script = (
        "head -c 8 /dev/urandom | od -An -tx1; head -c 8 /dev/random | od -An -tx1; mktemp -u; "
        "cat /proc/sys/kernel/random/uuid"
    )
    first, again = (cache("sh", "-c", script, options=("--trap", trap)) for _ in range(2))
    assert "replayed" in again.err
    assert first.out == again.out
    assert len({*first.out.splitlines()}) == 4
    cache.tool.sh("echo x >here")
    other = cache("sh", "-c", script + "; cat here", options=("--trap", trap))
    assert not {*first.out.splitlines()} & {*other.out.splitlines()}, "another command has others"
    cache.tool.sh("echo y >here")
    changed = cache("sh", "-c", script + "; cat here", options=("--trap", trap))
    assert changed.out == other.out.replace("x\n", "y\n")
    secret = cache.store / "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    shutil.rmtree(cache.store)
    assert cache("sh", "-c", script).out != first.out, "and so has another store"


def test_a_terminal(cache: Cache) -> None:
    """CMD does not read from it, and is not remembered when it opens it."""
    line = cache.tool.words("cached", "--explain", "--close-descriptors", "--", "sh", "-c")
    for script, told in {
        "cat; test -t 0": "remembered by all",
        "exec 3</dev/tty": "not remembered: it used /dev/tty",
    }.items():
        done = run(["script", "-qec", shlex.join([*line, script]), "/dev/null"], cwd=cache.here, env=cache.tool.env)
        assert f"cached: {told}" in done.out, done.out
    assert "remembered by all" in cache("sh", "-c", "exec 3</dev/tty").err, "where there is none"


def damaged_file(store: Path) -> None:
    """Every file."""
    for path in store.glob("files/*/*"):
        path.write_bytes(b"another")


def damaged_index(store: Path) -> None:
    for path in store.glob("index.sqlite*"):
        path.unlink()
    (store / "index.sqlite").write_bytes(b"no database" * 1000)


def no_store(store: Path) -> None:
    """It is a file."""
    store.rename(store.with_name("gone"))
    store.write_bytes(b"")


@pytest.mark.parametrize("damage", [damaged_file, damaged_index, no_store])
def test_a_damaged_store(cache: Cache, damage: Callable[[Path], None]) -> None:
    """One line, and CMD runs."""
    words = ("sh", "-c", "echo made >out; echo told")
    cache(*words)
    damage(cache.store)
    (cache.here / "out").unlink()
    done = cache(*words)
    about = [line for line in done.err.splitlines() if not line.startswith("ptoverlay: cached: ")]
    assert (done.status, done.out, len(about)) == (0, "told\n", 1), done.err
    assert about[0].startswith(f"ptoverlay: {cache.store}: ")
    assert (cache.here / "out").read_text() == "made\n"
    if damage is not no_store:
        (cache.here / "out").unlink()
        assert replays(cache.explained(*words)) or damage is damaged_index
        assert (cache.here / "out").read_text() == "made\n"


def test_at_once_and_killed(cache: Cache) -> None:
    """Eight at a time, and one that is killed while it runs: the store is sound, and has all that ended."""
    results: dict[int, Done] = {}

    def one(number: int) -> None:
        results[number] = cache("sh", "-c", f"echo {number % 4} >{number}; cat {number}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    process = cache.tool.start("cached", "--", "sh", "-c", f"echo begun >{cache.here}/x; exec sleep 60")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process.kill()
    process.communicate()
    assert {number: done.out for number, done in results.items()} == {number: f"{number % 4}\n" for number in range(8)}
    with sqlite3.connect(cache.store / "index.sqlite") as index:
        assert index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert index.execute("SELECT count(*) FROM runs").fetchone() == (8,)
    for number in range(8):
        (cache.here / str(number)).unlink()
    assert replays(cache.explained("sh", "-c", "echo 3 >7; cat 7"))
    assert (cache.here / "7").read_text() == "3\n"
    wait_for(lambda: not list((cache.store / "new").iterdir()))


def test_size(cache: Cache) -> None:
    """What was not used for the longest time goes."""

    def make(number: int) -> bool:
        (cache.here / "out").unlink(missing_ok=True)
        return replays(
            cache.explained(
                "python3",
                "-c",
                f"open('out', 'w').write('{number}' * 400000)",
                options=("--cache-size", "1M", "--ignore-clock"),
            )
        )

    assert [make(0), make(1), make(0), make(2)] == [False, False, True, False]
    held = sum(path.stat().st_size for path in cache.store.glob("files/*/*"))
    assert held < 1 << 20
    assert [make(0), make(2), make(1)] == [True, True, False]
