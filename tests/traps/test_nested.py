"""ptoverlay inside itself: the supervisor of the outer run serves the inner one.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.box import command
from support.oracle import Done, Who, as_user, escape
from support.snapshot import TREE, assert_equal, parse
from support.world import World

#: What the outer run does to its view, and then the inner one to its own.
OUTER = """
echo outer > d/written; rm d/removed; mv d/renamed d/moved; mv whole d/whole
rm -r again; mkdir again; echo new > again/new; chmod 600 d/mode; ln -s a d/link; ln linked linked2
"""
INNER = """
echo inner >> d/written; cat d/written; test -e d/removed || echo d/removed is gone; mkdir d/removed
echo x > d/removed/x
mv d/moved/x d/y; mv d/whole back; ls back d/moved again; rm -r again; mkdir again; ls again
rm d/a; mv d/sub d/a; cat d/a/f; chmod 640 d/mode; cat linked2 d/mode; echo more >> linked; rmdir d/empty; mv d e; ls e
"""


def inner(*options: str | Path) -> str:
    """The words of `ptoverlay run OPTIONS --` in a shell's script."""
    return shlex.join([*command(), "run", *map(str, options), "--"])


def shell(*lines: str) -> list[str]:
    """A shell that ends at the first failure."""
    return ["sh", "-ec", "\n".join(lines)]


def run(world: World, *lines: str, options: tuple[str, ...] = ()) -> Done:
    """The lines in an outer run."""
    return world.box(*options).run(shell(*lines), env=world.env)


def check(world: World, *lines: str, options: tuple[str, ...] = ()) -> str:
    """The same; it has to succeed: its output."""
    done = run(world, *lines, options=options)
    assert done.status == 0, f"status {done.status}\n{done.out}\n{done.err}"
    return done.out


@pytest.fixture
def tree(make_world: Callable[[Who, str], World], who: Who, trap: str) -> World:
    """A lower on which OUTER and INNER work."""
    world = make_world(who, trap)
    lower = world.add_lower()
    for name in ("d/sub/deep", "d/renamed/x", "d/empty", "whole/in", "again/old"):
        (lower / name).mkdir(parents=True)
    for name in ("d/a", "d/removed", "d/mode", "d/sub/f", "d/renamed/g", "whole/in/h", "again/old/i", "linked"):
        (lower / name).write_text(f"{name}\n")
    for path in (lower, *lower.rglob("*")):
        os.chown(path, *world.owner)
        os.utime(path, (10**9, 10**9))
    world.fill_plain()
    world.freeze()
    return world


@pytest.mark.parametrize("where", ["covered", "uncovered"])
def test_same_as_on_a_plain_copy(tree: World, where: str) -> None:
    """The inner run goes on from what the outer one left, wherever its upper is, and changes nothing of that."""
    upper = tree.mount / "inner" if where == "covered" else tree.home / "inner"
    start = inner("-l", tree.mount, "-u", upper)
    show = shlex.join([str(tree.subjects.path("tree")), str(tree.mount)])
    plain = tree.plain()
    plain.check(shell(OUTER), env=tree.env)
    outer = plain.snapshot()
    assert check(tree, OUTER, f"{start} sh -ec {shlex.quote(INNER)}") == plain.check(shell(INNER), env=tree.env)
    assert_equal("the inner view", plain.snapshot(), parse(check(tree, f"{start} {show}")), TREE)
    ours = ("^inner", r"^\.inner\.work", r"^\.$")
    assert_equal("the outer view", outer, tree.box().snapshot(), TREE, ignore=ours)
    assert_equal("the outer upper, as the kernel has it", outer, tree.kernel_on_upper().snapshot(), TREE, ignore=ours)


def test_several_lowers(tree: World) -> None:
    """What the outer view hides in one lower of the inner one hides nothing in the next: as in the kernel."""
    lay = "mkdir -p up/1 up/2; echo 1 > up/1/same; echo 2 > up/2/same; rm d/a d/removed; rm -r d/renamed; mkdir d/new"
    more = "echo a > whole/a; echo r > whole/removed; mkdir whole/renamed whole/sub; echo s > whole/sub/s; rm -r d/sub"
    show = "find . -type f | sort; cat $(find . -type f | sort); ls -a . * | sort"
    lowers = ("up/1", "d", "whole", "up/2")
    view = f"{tree.mount}/mnt"
    kernel = tree.kernel()
    options = "lowerdir=" + ":".join(escape(tree.mount / lower) for lower in lowers)
    if not tree.who.is_root:
        options += ",userxattr"
    mount = f"mount -t overlay overlay -o {shlex.quote(options)} mnt; cd mnt; {show}"
    become = "" if tree.who.is_root else "unshare --map-root-user --mount "
    expected = kernel.check(shell(lay, more, f"mkdir mnt; {become}sh -ec {shlex.quote(mount)}"), env=tree.env)
    start = inner("-o", options, "-m", view, "-C", view)
    assert check(tree, lay, more, f"mkdir mnt; {start} sh -ec {shlex.quote(show)}") == expected


def test_over_everything(make_world: Callable[[Who, str], World], who: Who, trap: str) -> None:
    """Without options, three levels deep: each sees what those around it have changed, and nothing is left."""
    world = make_world(who, trap)
    lower = world.add_lower()
    lower.chmod(0o777)
    (lower / "f").write_text("host\n")
    os.chown(lower / "f", *world.owner)
    world.freeze()
    file = f"{lower}/f"
    third = f"cat {file}; echo 3 > {file}; rm {lower}/2; ls {lower}"
    second = (f"cat {file}; echo 2 > {file}; echo 2 > {lower}/2; "
              f"{inner()} sh -ec {shlex.quote(third)}; cat {file} {lower}/2")
    first = f"echo 1 > {file}; {inner()} sh -ec {shlex.quote(second)}; cat {file}; ls {lower} $TMPDIR"
    words = [*as_user(who), *command(), "--trap", trap, "--", *shell(first)]
    done = subprocess.run(words, env=world.env, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["1", "2", "f", "2", "2", "1", f"{world.home}:", f"{lower}:", "f"]
    assert not list(world.home.iterdir())


def test_what_the_inner_run_does_not_cover(tree: World) -> None:
    """There it writes to the outer view, its --direct places included; what it hides it hides only for itself."""
    options = ["-l", f"{tree.mount}/d", "-u", f"{tree.home}/upper", "--direct", f"{tree.mount}/d/sub"]
    options += ["--hide", f"{tree.mount}/whole", "--read-only", f"{tree.mount}/again"]
    script = ("echo out > linked; echo in > d/a; echo direct > d/sub/f; ls; cd d/sub; cd ../..; pwd; cat d/a d/sub/f; "
              "(echo no > again/no) 2>&1 | sed 's/.*: //'")
    out = check(tree, f"{inner(*options)} sh -c {shlex.quote(script)}; cat linked d/a d/sub/f; ls whole")
    inside = ["again", "d", "linked", str(tree.mount), "in", "direct", "Read-only file system"]
    assert out.splitlines() == [*inside, "out", "d/a", "direct", "in"]
    assert (tree.upper / "linked").read_text() == "out\n"
    assert (tree.upper / "d/sub/f").read_text() == "direct\n"
    assert (tree.home / "upper/a").read_text() == "in\n"


def test_layers_of_one_inner_run_in_another(tree: World) -> None:
    """A layer that was made inside is a lower, an upper, and one that the tools read, there."""
    first = inner("-l", tree.mount, "-u", tree.mount / "one")
    check(tree, f"{first} sh -ec 'rm d/a; echo 1 > linked; rm -r again; mkdir again; mv d/sub d/sub2'")
    second = inner("-l", f"{tree.mount}/one:{tree.mount}", "-m", tree.mount, "-o", "ro")
    assert check(tree, f"{second} sh -ec 'ls again d; cat linked d/sub2/f'").split() == [
        "again:", "d:", "empty", "mode", "removed", "renamed", "sub2", "1", "d/sub/f"]
    diff = shlex.join([*command(), "diff", "--lower", str(tree.mount), "--upper", str(tree.mount / "one")])
    out = check(tree, f"{diff} || test $? = 1")
    assert "d/a" in out
    assert "one" not in out.replace(str(tree.mount / "one"), "")


def test_one_after_the_other(tree: World) -> None:
    """A layer is free, and seen by the view around, as soon as the inner run has ended: a call of its may be held."""
    start = inner("-l", tree.mount, "-u", tree.mount / "layer")
    once = f"{start} sh -c 'umask 0; echo x >> d/new; cd d; umask 22'"
    out = check(tree, f"for i in 1 2 3; do {once}; ls layer/d; cat layer/d/new | wc -l; done; rm -r layer")
    assert out.split() == ["new", "1", "new", "2", "new", "3"]


def test_status_and_messages(tree: World) -> None:
    """CMD's status, the signal that ended it, and one line for what cannot be."""
    start = inner("-l", tree.mount, "-u", tree.home / "upper")
    assert run(tree, f"{start} sh -c 'exit 7'").status == 7
    assert run(tree, f"{start} sh -c 'kill -9 $$' || exit $?").status == 128 + signal.SIGKILL
    assert run(tree, f"{start} no-such-command").status == 127
    told = run(tree, f"{inner('-v', '--trap=notify', '-l', tree.mount)} true").err
    assert told == "ptoverlay: true: ran with the trap of the run that it is inside\n"
    traced = run(tree, f"{inner('--stats', '-l', tree.mount)} true")
    assert (traced.status, traced.err.count("\n")) == (125, 1)
    merged = run(tree, f"{inner('-l', tree.mount, '-u', tree.mount / 'd')} true")
    assert (merged.status, merged.err.count("\n")) == (125, 1)
    assert merged.err.startswith(f"ptoverlay: {tree.mount / 'd'}: ")
    assert not (tree.mount / ".d.work").exists()


def test_what_is_left_running(tree: World) -> None:
    """A daemon is waited for, in the inner view to its end, or ended by --kill-on-exit."""
    daemon = "(setsid sh -c 'while [ ! -e go ]; do sleep 0.02; done; echo late > late' &) ; touch started"
    options = ("-l", tree.mount, "-u", tree.home / "upper")
    inside = shlex.quote(daemon + "; touch go")
    out = check(tree, f"{inner(*options)} sh -c {inside}; ls {tree.home}/upper; ls late || true")
    assert out.split() == ["go", "late", "started"]
    out = check(tree, f"{inner('--kill-on-exit', '-l', tree.mount)} sh -c {shlex.quote(daemon)}; touch go; ls")
    assert "late" not in out


def test_the_inner_run_is_killed(tree: World) -> None:
    """What it has started ends with it: nothing goes on in the view around."""
    loop = "trap '' TERM HUP INT; echo $$ > pid; while :; do date > tick; done"
    started = shlex.quote(f"(setsid sh -c {shlex.quote(loop)} &); while :; do sleep 1; done")
    start, pid = inner("-l", tree.mount, "-u", tree.home / "upper"), tree.home / "upper/pid"
    out = check(tree,
                f"{start} sh -c {started} & inner=$!",
                f"while [ ! -s {pid} ]; do sleep 0.02; done",
                "kill -9 $inner; wait $inner || echo $?",
                f"while kill -0 $(cat {pid}) 2> /dev/null; do sleep 0.02; done",
                "ls tick 2>&1 || true",
                f"{start} cat pid | grep -c .")
    assert out.split()[0] == "137"
    assert "No such file" in out
    assert out.split()[-1] == "1"
    again = check(tree, f"for i in 1 2 3; do {start} sh -c 'kill -9 $PPID; sleep 1000' || {start} echo $i; done")
    assert again.split() == ["1", "2", "3"]


def test_limits_show_as_they_were(tree: World) -> None:
    """The mark by which the supervisor knows who is inside is neither seen nor lost."""
    change = "import resource as r; r.setrlimit(10, (5, 5)); print(*r.getrlimit(10), *r.prlimit(0, 10))"
    script = change + "; open('new', 'w')"
    start = inner("-l", tree.mount, "-u", tree.home / "upper")
    out = check(tree, f"{start} python3 -c {shlex.quote(script)}; ls {tree.home}/upper; ls new 2>&1 || true")
    assert out.split()[:5] == ["-1", "-1", "-1", "-1", "new"]
    assert "No such file" in out


def test_a_limit_of_the_host(tree: World) -> None:
    """A limit where the mark is to be: who has it is not taken for somebody else; over the hard one no mark can be."""
    script = f"{inner('-l', tree.mount)} sh -c 'echo x > d/a; cat d/a' & wait $! || echo $?; cat d/a"
    limited = tree.box().run(["prlimit", "--locks=9:9", *shell(script)], env=tree.env)
    assert limited.out.split() == ["x", "d/a"]
    may_raise = ["prlimit", "--locks=9:9", *as_user(tree.who), "prlimit", "--locks=10:10", "true"]
    can = subprocess.run(may_raise, stderr=subprocess.DEVNULL, check=False).returncode == 0
    words = ["prlimit", "--locks=9:9", *tree.box().wrap(shell(script), tree.mount)]
    done = subprocess.run(words, env=tree.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["x" if can else "125", "d/a"]
    assert done.stderr == "" if can else done.stderr.startswith("ptoverlay: run inside a run: RLIMIT_LOCKS")


def test_many_at_a_time(tree: World) -> None:
    """Each has a view of its own."""
    one = f"{inner('-l', tree.mount)} sh -c 'for i in $(seq 20); do echo $0 $i > d/a; cat d/a; done | sort -u | wc -l'"
    script = " & ".join(f"{one.replace('$0', str(i))}" for i in range(4)) + " & wait; cat d/a"
    began = time.monotonic()
    assert sorted(check(tree, script).split()) == ["20", "20", "20", "20", "d/a"]
    assert time.monotonic() - began < 60


#: Threads of one owner ask about nests that others of them end, and owners die meanwhile.
ENDED_MEANWHILE = """if True:
    import ctypes, os, signal, struct, threading
    libc = ctypes.CDLL(None, use_errno=True)
    NEW, OVERLAY, PLACE, MEMBER, KILL, END = 1, 2, 3, 5, 6, 7
    path = ctypes.create_string_buffer(b"/nowhere")

    def ask(op, number=0):
        request = ctypes.create_string_buffer(struct.pack("IIQQQQ", number, 1, ctypes.addressof(path), 8, 0, 0))
        return libc.prctl(0x70746f76, op, request, 0, 0)

    def worker(rounds):
        for _ in range(rounds):
            number = ask(NEW)
            threads = [threading.Thread(target=ask, args=(op, number))
                       for op in (MEMBER, OVERLAY, PLACE, END, KILL, END, PLACE)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert ask(END, number) == -1 and ctypes.get_errno() == 3, number

    for _ in range(6):
        child = os.fork()
        if not child:
            for _ in range(20):
                ask(NEW)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        workers = [threading.Thread(target=worker, args=(8,)) for _ in range(2)]
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()
    print("done")
"""


def test_ended_while_it_is_asked_about(tree: World) -> None:
    """The supervisor holds what it uses."""
    after = f"{inner('-l', tree.mount)} sh -c 'echo x >d/a; cat d/a'"
    out = check(tree, f"python3 -c {shlex.quote(ENDED_MEANWHILE)}; {after}")
    assert out.split() == ["done", "x"]
