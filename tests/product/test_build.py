"""ptoverlay build: the same inputs give the same bytes, whatever surrounds them; natively they do not.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support import box
from support.oracle import USER, Done, Who, as_user, run
from support.tool import tool_for
from support.trees import Node
from support.world import World

from ptoverlay.builds.build import ORDERS

MakeWorld = Callable[[Who, str], World]

#: Two places of the same build: what differs there beside the directory.
PLACES = (
    {"LANG": "C", "TZ": "UTC", "HOME": "/one", "USER": "one", "COLUMNS": "80", "umask": "022"},
    {"LANG": "de_DE.UTF-8", "TZ": "Asia/Tokyo", "HOME": "/other", "USER": "other", "COLUMNS": "132", "EXTRA": "x" * 999,
     "umask": "077"},
)


class Twice:
    """A tree of sources in two directories, of an ordinary user, whose names were made in another order."""

    def __init__(self, world: World, nodes: list[Node]) -> None:
        self.world = world
        self.trees = [world.home / "a" / "src", world.home / "another" / "tree"]
        for tree, some in zip(self.trees, (nodes, nodes[::-1]), strict=True):
            tree.mkdir(parents=True)
            for node in some:
                assert node.content is not None
                (tree / node.path).write_bytes(node.content)
                (tree / node.path).chmod(0o644)
        for path in world.home.rglob("*"):
            os.chown(path, *world.owner)

    def _run(self, i: int, words: list[str]) -> Done:
        env = dict(PLACES[i])
        mask = env.pop("umask")
        env = {"PATH": os.environ["PATH"], **env}
        return run(["sh", "-c", f"umask {mask}; exec \"$@\"", "sh", *words], cwd=self.trees[i], env=env)

    def native(self, script: str) -> list[str]:
        """What the script prints in a copy of each place on the host."""
        said = []
        for i, tree in enumerate(self.trees):
            copy = tree.with_name("copy")
            shutil.copytree(tree, copy, symlinks=True)
            os.chown(copy, *self.world.owner)
            done = self._run(i, [*as_user(USER), "sh", "-c", f"cd {copy} && {script}"])
            assert done.status == 0, done.err
            said.append(done.out)
        return said

    def built(self, script: str, *options: str) -> list[str]:
        """The same by `ptoverlay build`."""
        said = []
        for i in range(2):
            done = self.build(i, *options, "--", "sh", "-ec", script)
            assert (done.status, done.err) == (0, ""), done
            said.append(done.out)
        return said

    def build(self, i: int, *words: str) -> Done:
        """`ptoverlay build` in the one place or the other."""
        return self._run(i, tool_for(USER, "build", "--trap", self.world.trap, *words))

    def close(self) -> None:
        """Nothing of the host has changed."""
        for tree in self.trees:
            assert sorted(path.name for path in tree.iterdir()) == NAMES


NAMES = sorted(["zebra", "apple", "mango", "Banana", "10", "9", ".dot"])


@pytest.fixture(params=box.traps())
def twice(request: pytest.FixtureRequest, make_world: MakeWorld) -> Twice:
    """Seven files."""
    return Twice(make_world(USER, request.param), [Node(name, content=name.encode()) for name in NAMES])


def test_surroundings(twice: Twice) -> None:
    """Environment, directory, umask, listings and addresses are the same; none of them is natively."""
    script = "env | sort; pwd; umask; ls -f; mkdir d; ls -ld d | cut -c-10; grep stack /proc/self/maps | cut -c-12"
    native = twice.native(script)
    assert native[0] != native[1]
    one, other = twice.built(script)
    assert one == other
    lines = one.splitlines()
    assert {"HOME=/build.home", "LC_ALL=C.UTF-8", "SOURCE_DATE_EPOCH=946684800"} <= set(lines)
    assert lines[lines.index("/build") + 1:-2] == ["0022", ".", "..", *NAMES]
    assert lines[-2:] == ["drwxr-xr-x", lines[-1]]
    twice.close()


def test_listings_elsewhere(twice: Twice) -> None:
    """Sorted where nothing is covered, too; a directory that is emptied while it is read is read to its end."""
    script = ("ls -f /sys/kernel /usr/include; mkdir d; cd d; seq 3000 | xargs touch; ls -f | wc -l; "
              "find . -name '*7*' -delete; ls -f | head -5; rm -r ../d")
    one, _ = twice.built(script)
    lines = one.splitlines()
    for title in ("/sys/kernel:", "/usr/include:"):
        names = lines[lines.index(title) + 1:]
        names = names[:names.index("") if "" in names else -6]
        assert names == [".", "..", *sorted(os.listdir(title[:-1]), key=os.fsencode)]
    assert lines[-6:] == ["3002", ".", "..", "1", "10", "100"]
    twice.close()


PROJECT = r"""
cat >m.c <<'C'
#include <stdio.h>
int main(void) { printf("%s %s %p\n", __DATE__, __TIME__, (void *)main); return 0; }
C
gcc -o m m.c; ./m >said; gcc -c m.c; ar rcU lib.a m.o
echo 'print(1)' >x.py; python3 -c 'import py_compile; py_compile.compile("x.py")'
python3 -c 'import zipfile, os
z = zipfile.ZipFile("z.zip", "w"); [z.write(n) for n in os.listdir(".") if n[-2:-1] == "."]'
head -c 20 /dev/urandom >random; python3 -c 'import os; os.write(1, os.getrandom(9))' >>random
python3 -c 'import tempfile, random; print(tempfile.mktemp(), random.random(), hash("a"))' >names; mktemp >>names
(hostname; nproc; date; uname -a; cat /proc/sys/kernel/random/uuid; ls -f) >told
tar cf t.tar m.c x.py said lib.a __pycache__ told; stat -c '%n %d %h %b %y' * >stats
"""


def test_project(twice: Twice) -> None:
    """gcc with __DATE__ and __TIME__, ar, .pyc, zip, tar, random bytes and names, what the machine is called: the same
    bits and times in the layer, and not so natively."""
    natives = twice.native(f"({PROJECT}) && tail -n +1 said told; cat random | sha256sum")
    assert natives[0] != natives[1]
    made = []
    for i in range(2):
        upper = twice.world.home / f"made{i}"
        done = twice.build(i, "-u", str(upper), "--", "sh", "-ec", PROJECT)
        assert (done.status, done.err) == (0, ""), done
        files = [path for path in sorted(upper.rglob("*")) if path.is_file()]
        made.append({str(path.relative_to(upper)): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
                     for path in files})
    assert made[0].keys() == made[1].keys()
    assert [name for name in made[0] if made[0][name] != made[1][name]] == []
    assert {time for _, _, time in made[0].values()} == {946684800 * 10**9}
    assert made[0]["said"][0].startswith(b"Jan  1 2000 00:00:00 0x55555555")
    assert made[0]["told"][0].startswith(b"build\n1\nSat Jan  1 00:00:00 UTC 2000\nLinux build 6.1.0 #1 SMP ")
    twice.close()


def test_time(twice: Twice) -> None:
    """Time goes on by sleep and by time-outs, whoever waits; what is written later is newer, whole seconds the same."""
    script = ("date +%s; sleep 0.2; date +%s.%N | cut -c-12; echo >one; echo >two; echo >>one; test one -nt two && "
              "test one -nt apple && echo newer; stat -c %Y one; touch -d 1999-01-01 one; stat -c %Y one; "
              "python3 -c 'import threading, select, time; a = time.time(); e = threading.Event().wait(0.2); "
              "select.select([], [], [], 0.2); select.poll().poll(200); print(e, round(time.time() - a, 1))'")
    one, other = twice.built(script, "--epoch", "1000000000")
    assert one == other
    assert one == "1000000000\n1000000000.2\nnewer\n1000000000\n915148800\nFalse 0.6\n"
    twice.close()


def test_random_bytes(twice: Twice) -> None:
    """Who of two that run at one time asks first makes no difference, nor does a signal that interrupts a fork."""
    script = ("trap : CHLD; for i in $(seq 20); do od -An -N4 -tx1 /dev/urandom | "
              "{ : & od -An -N4 -tx1 /dev/urandom; cat; }; done")
    one, other = twice.built(script)
    assert one == other
    assert len(set(one.split("\n"))) == 41
    twice.close()


def test_file_system(twice: Twice) -> None:
    """Which file system the tree lies on, and in which order a build asks to have names listed."""
    script = "stat -c '%d %i %n' apple /usr; ls -f"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        tree = twice.trees[1]
        twice.trees[1] = Path(other) / "tree"
        shutil.copytree(tree, twice.trees[1])
        Path(other).chmod(0o755)
        one, another = twice.built(script)
        twice.trees[1] = tree
    assert one == another
    orders = {order: twice.built("ls -f | grep -v '^\\.\\.*$'", "--listings", order) for order in ORDERS}
    assert [lists[0] == lists[1] for lists in orders.values()] == [True] * 3
    lists = [said[0].split() for said in orders.values()]
    assert lists[0] == lists[1][::-1] == sorted(lists[2])
    assert lists[2] not in (lists[0], lists[1])


def test_static(twice: Twice) -> None:
    """A static program that knows no C library's cache of the time is told the same."""
    source = twice.world.home / "t.c"
    source.write_text("#include <stdio.h>\n#include <sys/time.h>\n#include <time.h>\n"
                      "int main(void) { struct timespec t; struct timeval v; "
                      "clock_gettime(CLOCK_REALTIME, &t); gettimeofday(&v, 0); "
                      'printf("%ld %ld %ld\\n", (long)t.tv_sec, (long)v.tv_sec, (long)time(0)); return 0; }\n')
    program = twice.trees[0].parent / "t"
    assert run(["gcc", "-static", "-o", str(program), str(source)], env={**os.environ}).status == 0
    done = twice.build(0, "--keep", "place", "--", str(program))
    assert (done.status, done.out) == (0, "946684800 946684800 946684800\n")


def test_kept(twice: Twice) -> None:
    """--keep leaves a source as it is; what the build has made lies in the upper, and nowhere else."""
    upper = twice.world.home / "a" / "made"
    words = ("--keep", "environment,place", "--keep", "umask", "-u", str(upper), "-C", str(twice.trees[1]))
    done = twice.build(1, *words, "--", "sh", "-c", "echo $HOME; pwd; umask; echo new >new")
    assert (done.status, done.out) == (0, f"/other\n{twice.trees[1]}\n0077\n")
    assert (upper / str(twice.trees[1]).lstrip("/") / "new").read_text() == "new\n"
    twice.close()


def test_inputs(twice: Twice) -> None:
    """Only what is declared is there to see; a build that needs more fails, and the end says what it asked for."""
    beside = twice.world.home / "beside"
    beside.mkdir()
    for name in ("given", "secret"):
        (beside / name).write_text(f"{name}\n")
    script = f"cat {beside}/given; ls {beside} /build/..; cat {beside}/secret 2>/dev/null"
    done = twice.build(0, "--input", "@system", "--input", str(beside / "given"), "--", "sh", "-c", script)
    assert done.status == 1
    lines = done.out.splitlines()
    assert lines[:3] == ["given", "/build/..:", "bin"]
    assert lines[lines.index(f"{beside}:") + 1:] == ["given"]
    assert {"build", "proc", "tmp", "usr"} <= set(lines)
    assert not {"home", "root", "var"} & set(lines)
    assert f"ptoverlay: {beside}/secret: asked for 1 times, and not declared (--input)\n" in done.err
    assert twice.build(0, "--input", "@system", "--", "sh", "-c", "ls /root || exit 0").status == 0
    twice.close()


def test_strict_inputs(twice: Twice) -> None:
    """A file that has changed is refused before CMD runs."""
    listed = twice.world.home / "list"
    done = run(["sha256sum", "apple", "mango"], cwd=twice.trees[0])
    listed.write_text(done.out)
    words = ("--strict-inputs", str(listed), "--", "echo", "ran")
    assert twice.build(0, *words).out == "ran\n"
    (twice.trees[0] / "mango").write_text("other")
    done = twice.build(0, *words)
    assert (done.status, done.out) == (125, "")
    assert done.err == f"ptoverlay: mango: it is not what --strict-inputs {listed} says (the input has changed)\n"


@pytest.mark.parametrize(("words", "said"), [
    (["--input", "/no/such", "true"], "--input /no/such: there is no such file or directory"),
    (["--input", "@other", "true"], "--input @other: there is no set of this name"),
    (["--strict-inputs", "/etc/passwd", "true"], "--strict-inputs /etc/passwd: line 1 is no digest and path"),
    (["--keep", "nothing", "true"], "--keep nothing: one of listings, clock, "),
    (["--listings", "upside", "true"], "--listings upside: one of sorted, reversed, shuffled is meant"),
    (["--epoch", "today", "true"], "--epoch today: a number of seconds since 1970 is meant"),
    (["--name", "x", "true"], "build --name: a build is no step of a sandbox"),
    ([], "command line: no command given"),
    (["--no-such", "true"], "--no-such: no such option"),
])
def test_bad_input(words: list[str], said: str) -> None:
    done = run([*box.command(), "build", *words], env={**os.environ})
    assert (done.status, done.err.count("\n")) == (125, 1)
    assert done.err.startswith(f"ptoverlay: {said}")


def test_explain() -> None:
    """Each source has a line, and what is left."""
    done = run([*box.command(), "build", "--explain"], env={**os.environ})
    assert done.status == 0
    assert [name for name in ("listings", "network", "threads", "processor") if f"  {name} " not in done.out] == []
