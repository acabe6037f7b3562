"""commit: the lower becomes what the view showed, whatever happens on the way, and nothing of the host's is lost.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable

import pytest
from support.oracle import ROOT, USER, Who, run
from support.snapshot import TREE, assert_equal
from support.tool import Terminal, Tool, tool_for
from support.trees import OLD, Node
from support.world import World

#: The top directory, which a layout makes with another time.
ROOT_OF_TREE = r"^\.$"
REMEDY = re.compile("root's commit --trust gives it these owners, .*, commit --force makes it yours$")
MakeWorld = Callable[[Who, str], World]

NODES = [
    Node("a", content=b"a\n"),
    Node("b", content=b"b\n", mode=0o600, xattrs={"user.kept": b"1"}),
    Node("hard", content=b"hard\n"),
    Node("hard2", "hard", target="hard"),
    Node("link", "link", target="a"),
    Node("d", "dir", 0o755),
    Node("d/x", content=b"x\n"),
    Node("d/sub", "dir", 0o750),
    Node("d/sub/y", content=b"y\n", mode=0o755),
    Node("d/sub/z", content=b"z\n"),
    Node("e", "dir", 0o755),
    Node("e/x", content=b"other x\n"),
    Node("empty", "dir", 0o755),
    Node("sparse", content=b"start", hole=1 << 20),
]

SCRIPTS = {
    "nothing": "true",
    "append": "echo more >>a",
    "overwrite": "echo other >b",
    "new": "echo new >new; echo newer >d/new",
    "new tree": "mkdir -p n/m/o; echo 1 >n/1; echo 2 >n/m/2; chmod 700 n/m; ln -s ../1 n/m/l; mkfifo n/fifo",
    "hard links": "mkdir n; echo 1 >n/1; ln n/1 n/2; ln a d/a; ln a zz",
    "one name of two": "echo more >>hard",
    "the other name, read first": "cat hard >/dev/null; echo more >>hard2",
    "a name removed": "rm hard2; echo more >>hard",
    "rename": "mv a aa; mv b d/b",
    "rename and write": "mv a aa; echo more >>aa",
    "rename onto": "mv a b",
    "rename directory": "mv d f",
    "rename directory and change": "mv d f; echo 1 >f/x; rm f/sub/y; echo new >f/sub/new; chmod 711 f",
    "swap": "mv d t; mv e d; mv t e",
    "chain": "mv e f; mv d e; mv e/sub e/x2",
    "out and away": "mv d/sub s; rm -r d",
    "out and into its place": "mv d/sub s; rm -r d; mv s d",
    "into a new one": "mkdir -p n/m; mv d n/m/d; mv e n/; echo 1 >n/m/d/sub/y",
    "down": "mv e d/sub/e; mv d/sub f",
    "there and back": "mv d f; mv f d; touch -d @1000 d/x",
    "rename onto empty": "mv -T d empty",
    "remove": "rm a; rm -r d",
    "remove all": "rm -r ./*",
    "remove some": "rm d/x; rm -r d/sub",
    "again": "rm -r d; mkdir d; echo x >d/x; echo q >d/q",
    "again as a file": "rm -r d; echo d >d",
    "again as a directory": "rm a; mkdir a; echo 1 >a/1",
    "again as a link": "rm b; ln -s d b; rm link; echo file >link",
    "empty directory": "rm -r d; mkdir d",
    "mode": "chmod 4711 a; chmod 1777 d; chmod 600 hard",
    "time": "touch -d @12345.678901234 a d",
    "xattr": "setfattr -n user.new -v 2 b; setfattr -x user.kept b; setfattr -n user.d -v 1 d",
    "xattr only": "setfattr -x user.kept b",
    "acl": "setfacl -m u:1234:r a; setfacl -d -m u:1234:rx d",
    "sparse": "truncate -s 2M sparse; echo end >>sparse",
    "truncate": ": >sparse",
    "names": "echo 1 >'new\nline'; echo 2 >' '; echo 3 >'\\'; mv a '*'; mkdir '[x]'; echo 4 >'[x]/?'",
    "link": "ln -sf elsewhere link; ln -s d dl",
    "open directory": "mkdir -m 555 n; chmod 555 d; chmod 755 d; echo 1 >d/1",
    "setgid": "mkdir n; chmod 2775 n; echo 1 >n/1; mkdir n/m",
}


def commit_world(make_world: MakeWorld, who: Who, nodes: list[Node] | None = None) -> World:
    """A world with a lower, and upper directories that look like it."""
    world = make_world(who, "ptrace")
    world.lay_out(NODES if nodes is None else nodes)
    return world


def leaves_nothing(world: World) -> None:
    """After a commit of everything the layer is empty, and no name of ours is left."""
    assert os.listdir(world.upper) == []
    assert not (world.work / "commit").exists()
    names = [name for _, dirs, files in os.walk(world.lowers[0]) for name in (*dirs, *files)]
    assert not [name for name in names if name.startswith(".ptoverlay-")]


@pytest.mark.debian("attr", "acl")
@pytest.mark.parametrize("name", SCRIPTS)
def test_lower_becomes_what_a_plain_copy_becomes(make_world: MakeWorld, who: Who, name: str) -> None:
    """The same script on a plain copy of the lower makes the same tree."""
    world = commit_world(make_world, who)
    tool = Tool(world)
    world.plain().check(["sh", "-ec", SCRIPTS[name]], env=world.env)
    tool.script(SCRIPTS[name])
    tool.check("commit")
    world.freeze()
    expected = world.plain().snapshot()
    ignore = [ROOT_OF_TREE]  # the root's own times: the layout's copy has others
    assert_equal("the lower after the commit", expected, world.raw_snapshot(world.lowers[0]), TREE, ignore=ignore)
    assert_equal("the view after the commit", expected, world.box().snapshot(), TREE, ignore=ignore)
    leaves_nothing(world)
    assert tool.check("diff") == ""


def test_identity_of_what_is_renamed(make_world: MakeWorld) -> None:
    """A rename is a rename on the host, not a copy."""
    world = commit_world(make_world, ROOT)
    lower = world.lowers[0]
    inodes = {name: os.lstat(lower / name).st_ino for name in ("d", "d/sub/y", "a")}
    Tool(world).script("mv d f; mv a d2; chmod 700 f")
    Tool(world).check("commit")
    world.freeze()
    found = {name: os.lstat(lower / there).st_ino for name, there in (("d", "f"), ("d/sub/y", "f/sub/y"), ("a", "d2"))}
    assert found == inodes


@pytest.mark.root_only
@pytest.mark.parametrize("script", ["mknod n c 1 3; mknod d/b b 7 9; chown 12:34 a d/x d",
                                    "chown -h 5:6 link; chmod u+s a",
                                    "setfattr -n trusted.t -v 1 a; setcap cap_net_raw+ep d/sub/y"])
@pytest.mark.debian("attr", "libcap2-bin")
def test_what_only_root_can_make(make_world: MakeWorld, script: str) -> None:
    world = commit_world(make_world, ROOT)
    world.plain().check(["sh", "-ec", script], env=world.env)
    Tool(world).script(script)
    Tool(world).check("commit")
    world.freeze()
    found = world.raw_snapshot(world.lowers[0])
    assert_equal("the lower", world.plain().snapshot(), found, TREE, ignore=[ROOT_OF_TREE])


# ---- what the host has changed


CONFLICTS = {
    # script in the box, script on the host, refused paths, what is said
    "modified": ("echo box >>a", "echo host >>a", ["a"], "modified on the host"),
    "same size": ("echo box >>a", "printf 'A\\n' >a", ["a"], "modified on the host"),
    "same size and time": ("echo box >>a", "touch -r a t; printf 'A\\n' >a; touch -r t a; rm t", ["a"],
                           "changed on the host"),
    "replaced": ("echo box >>a", "cp -p a t; mv t a", ["a"], "replaced on the host"),
    "removed": ("echo box >>a", "rm a", ["a"], "removed on the host"),
    "mode": ("echo box >>a", "chmod 600 a", ["a"], "attributes were changed"),
    "mode and mode": ("chmod 700 a", "chmod 755 a", ["a"], "attributes were changed"),
    "directory's mode and mode": ("chmod 700 d", "chmod 711 d", ["d"], "attributes were changed"),
    "removed here, modified there": ("rm a", "echo host >>a", ["a"], "changed on the host"),
    "removed here with something new": ("rm -r d", "echo host >d/sub/new", ["d"], "changed on the host"),
    "replaced here with something new": ("rm -r d; echo d >d", "echo host >d/sub/new", ["d", "d/sub", "d/x"],
                                         "changed on the host"),
    "renamed and written": ("mv a aa; echo box >>aa", "echo host >>a", ["aa"], "modified on the host"),
    "type": ("echo box >>a", "rm a; mkdir a", ["a"], "changed on the host"),
    "both new": ("echo box >n", "echo host >n", ["n"], "changed on the host"),
    "a new tree and a file": ("mkdir n; echo box >n/1", "echo host >n", ["n", "n/1"], "changed on the host"),
    "hard link": ("echo box >>hard", "echo host >>hard2", ["hard", "hard2"], "modified on the host"),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_what_changed_on_the_host_is_refused(make_world: MakeWorld, who: Who, name: str) -> None:
    """With a line for each path and status 1; everything else is committed; --force commits the rest."""
    box, host, refused, why = CONFLICTS[name]
    world = commit_world(make_world, who)
    tool = Tool(world)
    tool.script(box + "; echo fine >fine")
    world.freeze()
    world.box().run_as(who, ["sh", "-ec", f"cd {world.lowers[0]}; {host}"], world.env)
    world.freeze()
    before = world.raw_snapshot(world.lowers[0])
    shown = world.box().snapshot()
    done = tool.run("commit", "--dry-run")
    assert done.status == 1
    world.assert_lowers_untouched()
    done = tool.run("commit")
    assert done.status == 1, done.out
    *lines, last = done.err.splitlines()
    paths = sorted(line.split(": ")[1] for line in lines)
    assert paths == sorted(str(world.mount / path) for path in refused), done.err
    assert last.startswith("ptoverlay: where the host has changed since: ptoverlay diff -p ")
    assert why in done.err
    world.freeze()
    after = world.raw_snapshot(world.lowers[0])
    assert after.pop("fine").content
    for snapshot in (before, after):
        snapshot.pop(".", None)
    assert_equal("what was refused", before, after, ("type", "mode", "size", "mtime", "content", "nlink"))
    assert world.box().snapshot()["fine"].content == shown["fine"].content
    tool.check("commit", "--force")
    world.freeze()
    shown.pop(".")
    found = world.raw_snapshot(world.lowers[0])
    found.pop(".")
    assert_equal("forced", shown, found, ("type", "mode", "size", "content"))
    leaves_nothing(world)


NO_CONFLICTS = {
    "touched only by reading": ("echo box >>a", "cat a >/dev/null"),
    "another file": ("echo box >>a", "echo host >>d/x"),
    "the same": ("echo more >>a; touch -d @5 a", "echo more >>a; touch -d @5 a"),
    "in a directory that was renamed": ("mv d f", "echo host >>d/x; echo host >d/new"),
    "in a directory that is kept": ("chmod 700 d; echo box >d/box", "echo host >d/host"),
    "removed on both sides": ("rm a", "rm a"),
}


@pytest.mark.parametrize("name", NO_CONFLICTS)
def test_what_is_no_conflict(make_world: MakeWorld, name: str) -> None:
    """What the host changed elsewhere stays, and is no reason to refuse anything."""
    box, host = NO_CONFLICTS[name]
    world = commit_world(make_world, USER)
    Tool(world).script(box)
    world.box().run_as(USER, ["sh", "-ec", f"cd {world.lowers[0]}; {host}"], world.env)
    shown = world.box().snapshot()
    Tool(world).check("commit")
    world.freeze()
    found = world.raw_snapshot(world.lowers[0])
    for snapshot in (shown, found):
        snapshot.pop(".")
    assert_equal("the lower", shown, found, ("type", "mode", "size", "content"))


def test_a_layer_that_kept_nothing_goes_by_times(make_world: MakeWorld) -> None:
    """An upper of another maker: what changed after it was copied up is refused, what did not is committed."""
    world = commit_world(make_world, ROOT)
    Tool(world).script("echo box >>a; echo box >>b")
    for name in ("a", "b"):
        for attribute in os.listxattr(world.upper / name):
            if "ptoverlay" in attribute:
                os.removexattr(world.upper / name, attribute)
    with (world.lowers[0] / "a").open("a") as file:
        file.write("host\n")
    done = Tool(world).run("commit")
    world.freeze()
    assert done.status == 1
    assert "mnt/a: not committed" in done.err
    assert (world.lowers[0] / "b").read_bytes() == b"b\nbox\n"
    assert (world.lowers[0] / "a").read_bytes() == b"a\nhost\n"


# ---- choosing


@pytest.mark.parametrize(("words", "committed"), [
    (["a"], ["a"]),
    (["d"], ["d/new", "d/sub/1.c", "d/x"]),
    (["*.c"], ["d/sub/1.c", "n", "n/2.c"]),
    (["n/m"], ["n", "n/m", "n/m/3"]),
    (["gone"], ["gone", "moved"]),
    (["moved"], ["gone", "moved"]),
    (["hard2"], ["hard", "hard2"]),
    (["d/x", "a"], ["a", "d/x"]),
])
def test_chosen_paths(make_world: MakeWorld, words: list[str], committed: list[str]) -> None:
    """Only these, and what they need; the view shows the same before and after."""
    nodes = [*NODES, Node("gone", "dir", 0o755), Node("gone/1", content=b"1")]
    world = commit_world(make_world, USER, nodes)
    tool = Tool(world)
    tool.script("echo more >>a; echo more >>d/x; echo new >d/new; echo c >d/sub/1.c; mkdir -p n/m; echo c >n/2.c; "
                "echo 3 >n/m/3; mv gone moved; echo more >>hard2; echo rest >rest")
    shown = world.box().snapshot()
    before = world.raw_snapshot(world.lowers[0])
    out = json.loads(tool.check("commit", "--json", *words))
    world.freeze()
    paths = {os.path.relpath(path, world.mount) for change in out["committed"]
             for path in (change["path"], change.get("old_path", change["path"]))}
    assert paths == set(committed)
    after = world.raw_snapshot(world.lowers[0])
    for path in before.keys() | after.keys():
        below_chosen = "gone" in committed and path.split("/")[0] in ("gone", "moved")
        if path not in committed and not below_chosen and path and before.get(path, None) is not None:
            assert after[path].content == before[path].content, path
        if path not in before:
            assert path in committed or below_chosen, path
    assert_equal("the view", shown, world.box().snapshot(), TREE, ignore=[ROOT_OF_TREE])
    tool.check("commit")
    world.freeze()
    assert_equal("the lower", shown, world.raw_snapshot(world.lowers[0]), TREE, ignore=[ROOT_OF_TREE])
    leaves_nothing(world)


def test_a_path_without_a_change(make_world: MakeWorld) -> None:
    """The others are committed."""
    world = commit_world(make_world, USER)
    tool = Tool(world)
    tool.script("echo more >>a; echo more >>d/x")
    assert tool.check("commit", "-v", "hard", "nothing-*") == ""
    done = tool.run("commit", "-v", "hard", "a", "slip")
    world.freeze()
    assert (done.status, done.out.count("\n"), done.out.split()[:1]) == (0, 1, ["modified"])
    assert done.err == "ptoverlay: slip: nothing is there, and nothing was\n"
    assert world.raw_snapshot(world.lowers[0])["a"].content == world.box().snapshot()["a"].content
    assert (world.upper / "d/x").exists()


def test_asks_for_each_change_on_a_terminal(make_world: MakeWorld) -> None:
    world = commit_world(make_world, USER)
    tool = Tool(world)
    tool.script("echo more >>a; echo more >>b; echo 1 >n1; echo 2 >n2")
    terminal = Terminal(tool.argv("commit", "-i"), world.env, world.mount)
    for path, answer in (("mnt/a", "y"), ("mnt/b", "?"), ("mnt/b", "n"), ("mnt/n1", "a")):
        terminal.expect(path)
        terminal.expect("[y,n,a,q,?] ")
        terminal.send(answer + "\n")
    assert terminal.end() == 0
    world.freeze()
    lower = world.lowers[0]
    assert [(lower / name).read_text() for name in ("a", "b", "n1", "n2")] == ["a\nmore\n", "b\n", "1\n", "2\n"]
    assert "modified" in tool.check("diff", status=1)


def test_interactive_needs_a_terminal(make_world: MakeWorld) -> None:
    world = commit_world(make_world, USER)
    done = Tool(world).run("commit", "-i")
    assert done.status == 125
    assert "terminal" in done.err


# ---- trouble


@pytest.mark.root_only
@pytest.mark.parametrize("size", ["64k", "1M"])
def test_a_full_disk_loses_nothing(make_world: MakeWorld, size: str) -> None:
    """One clear line, status 125, the lower as it was; with room it goes through."""
    world = make_world(ROOT, "ptrace")
    lower = world.add_lower()
    done = run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(lower)])
    assert done.status == 0, done.err
    try:
        (lower / "a").write_text("a\n")
        (lower / "d").mkdir()
        tool = Tool(world)
        tool.script("echo more >>a; mkdir n; head -c 3000000 /dev/zero | tr '\\0' x >n/big; rm -r d")
        world.freeze()
        times = lower.stat().st_mtime_ns
        done = tool.run("commit")
        assert done.status == 125
        assert done.err == (
            f"ptoverlay: {world.upper}: commit: {lower}, and nothing was committed: No space left on device (free some "
            f"on {lower}; ptoverlay list shows what sandboxes take, discard and remove free it)\n")
        assert lower.stat().st_mtime_ns == times
        before = world.raw_snapshot(lower)
        assert set(before) == {".", "a", "d"}
        assert before["a"].content == world.raw_snapshot(lower)["a"].content
        assert not (world.work / "commit").exists()
        assert run(["mount", "-o", "remount,size=8M", str(lower)]).status == 0
        tool.check("commit", "--no-keep")
        assert (lower / "n/big").stat().st_size == 3000000
        assert not (lower / "d").exists()
        leaves_nothing(world)
        world._frozen = {}
    finally:
        run(["umount", str(lower)])


def test_what_a_user_may_not_do_is_refused(make_world: MakeWorld) -> None:
    """A directory without write permission, a file that would get another owner."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make what is not the user's")
    nodes = [Node("mine", content=b"1"), Node("closed", "dir", 0o755, owner=(0, 0)), Node("closed/x", content=b"x"),
             Node("shared", content=b"s", mode=0o666, owner=(0, 0))]
    world = commit_world(make_world, USER, nodes)
    tool = Tool(world)
    tool.script("echo more >>mine; echo more >>shared; echo more >>closed/x")
    done = tool.run("commit")
    assert done.status == 1
    assert {line.split(": ")[1] for line in done.err.splitlines() if not REMEDY.search(line)} == \
        {str(world.mount / "shared"), str(world.mount / "closed/x")}
    world.freeze()
    assert (world.lowers[0] / "mine").read_text() == "1more\n"
    assert (world.lowers[0] / "shared").read_text() == "s"
    assert os.stat(world.lowers[0] / "shared").st_uid == 0


def test_a_layer_in_use(make_world: MakeWorld) -> None:
    world = commit_world(make_world, ROOT)
    tool = Tool(world)
    tool.script("echo more >>a")
    fd = os.open(world.upper, os.O_RDONLY)
    try:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX)
        done = tool.run("commit")
    finally:
        os.close(fd)
    assert done.status == 125
    assert "in use" in done.err


# ---- several lowers


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "time"])
@pytest.mark.debian("attr", "acl")
def test_the_topmost_of_several_lowers(make_world: MakeWorld, name: str) -> None:
    """Committing to a layer keeps what the view shows, and the layers below it as they are.  ("time" is left out: a
    directory of which nothing but the time was set is not made on a layer that lacks it.)"""
    world = make_world(USER, "ptrace")
    top, bottom = world.add_lower(), world.add_lower()
    world.lay_out(NODES)  # a third, below both
    (bottom / "e").mkdir(mode=0o755)
    (bottom / "e/low").write_text("low\n")
    (top / "e").mkdir(mode=0o755)
    (top / "e/top").write_text("top\n")
    for path in (bottom / "e", bottom / "e/low", top / "e", top / "e/top"):
        os.chown(path, *world.owner)
        os.utime(path, ns=(OLD, OLD))
    shutil.rmtree(world.plain_directory)
    world.box().check(["cp", "-a", str(world.mount), str(world.home / "copied")])
    (world.home / "copied").rename(world.plain_directory)
    script = SCRIPTS[name]
    world.plain().check(["sh", "-ec", script], env=world.env)
    Tool(world).script(script)
    frozen = [bottom, world.lowers[2]]
    before = [world.raw_snapshot(layer) for layer in frozen]
    Tool(world).check("commit")
    for layer, snapshot in zip(frozen, before, strict=True):
        names = ("type", "mode", "size", "mtime", "content", "nlink")
        assert_equal(str(layer), snapshot, world.raw_snapshot(layer), names)
    world._frozen = {}
    assert os.listdir(world.upper) == []
    assert_equal("the view", world.plain().snapshot(), world.box().snapshot(), TREE, ignore=[ROOT_OF_TREE])




def test_a_run_waits_for_the_end_of_an_interrupted_commit(make_world: MakeWorld) -> None:
    """With the lower half-changed the view would be wrong: the run is refused until commit has finished."""
    world = commit_world(make_world, USER)
    Tool(world).script("echo more >>a")
    journal = world.work / "commit/journal"
    journal.parent.mkdir()
    journal.write_text("{}")
    done = world.box().run(["true"])
    assert done.status == 125
    assert "interrupted" in done.err
    shutil.rmtree(journal.parent)
    assert world.box().run(["true"]).status == 0


@pytest.mark.root_only
@pytest.mark.debian("attr", "acl")
@pytest.mark.parametrize("name", ["append", "new tree", "hard links", "rename directory and change", "swap",
                                  "out and into its place", "remove", "again", "mode", "xattr", "sparse"])
def test_a_layer_that_the_kernel_made(make_world: MakeWorld, name: str) -> None:
    """The kernel's overlayfs runs the script, commit applies what it has left."""
    world = commit_world(make_world, ROOT)
    world.plain().check(["sh", "-ec", SCRIPTS[name]], env=world.env)
    world.kernel().check(["sh", "-ec", SCRIPTS[name]], env=world.env)
    world.upper, world.work = world.kernel_upper, world.area / "fresh-work"
    Tool(world).check("commit")
    world.freeze()
    expected = world.plain().snapshot()
    assert_equal("the lower", expected, world.raw_snapshot(world.lowers[0]), TREE, ignore=[ROOT_OF_TREE])
    assert os.listdir(world.upper) == []


def test_a_fork_commits_to_the_sandbox_it_lies_on(make_world: MakeWorld) -> None:
    """NEW's changes go to the layer of the old one, which then shows them, and from there to the host."""
    world = commit_world(make_world, USER)
    env = {**world.env, "XDG_STATE_HOME": str(world.home / "state")}
    lower = str(world.lowers[0])

    def ptoverlay(*words: str, status: int = 0) -> str:
        done = run(tool_for(USER, *words), env=env, cwd=world.mount)
        assert done.status == status, f"{words}: {done.err}"
        return done.out

    def in_box(name: str, script: str) -> str:
        return ptoverlay("run", "--name", name, "-l", lower, "-C", lower, "--", "sh", "-ec", script)

    in_box("old", "echo old >>a; rm b; mkdir n; echo 1 >n/1")
    ptoverlay("fork", "old", "new")
    script = "echo new >>a; echo b >b; rm n/1; echo 2 >n/2; rm -r d"
    ptoverlay("run", "--name", "new", "-C", lower, "--", "sh", "-ec", script)
    shown = ptoverlay("run", "--name", "new", "-C", lower, "--", "sh", "-c", "ls -R; cat a b")
    ptoverlay("commit", "old", status=125)
    assert ptoverlay("commit", "--to", "old", "new").endswith(" went to sandbox old\n")
    assert ptoverlay("diff", "new") == ""
    ptoverlay("remove", "new")
    assert ptoverlay("run", "--name", "old", "-C", lower, "--", "sh", "-c", "ls -R; cat a b") == shown
    world.assert_lowers_untouched()
    ptoverlay("commit", "old")
    world.freeze()
    assert run(["sh", "-c", "ls -R; cat a b"], cwd=world.lowers[0], env=env).out == shown
    assert ptoverlay("diff", "old") == ""


@pytest.mark.root_only
def test_what_the_kernel_refuses_at_the_last_moment_is_left_out(make_world: MakeWorld) -> None:
    """A mount point cannot be renamed or removed: the path is told, the rest is committed, and nothing is stuck."""
    world = commit_world(make_world, ROOT)
    tool = Tool(world)
    lower = world.lowers[0]
    tool.script("rm -r e; echo more >>a")
    assert run(["mount", "--bind", str(lower / "e"), str(lower / "e")]).status == 0
    try:
        done = tool.run("commit")
        assert done.status == 1
        assert f"{world.mount}/e: not committed: Device or resource busy" in done.err
        assert (lower / "a").read_text() == "a\nmore\n"
        assert (lower / "e/x").read_text() == "other x\n"
        assert not (world.work / "commit").exists()
        assert [name for name in os.listdir(lower) if name.startswith(".ptoverlay")] == []
    finally:
        assert run(["umount", str(lower / "e")]).status == 0
    tool.check("commit")
    world.freeze()
    assert not (lower / "e").exists()
    leaves_nothing(world)


def test_a_sticky_directory(make_world: MakeWorld) -> None:
    """Where everybody may make names but not touch those of others."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make what is not the user's")
    nodes = [Node("t", "dir", 0o1777, owner=(0, 0)), Node("t/theirs", mode=0o666, owner=(0, 0), content=b"1\n"),
             Node("t/mine", content=b"1\n")]
    world = commit_world(make_world, USER, nodes)
    tool = Tool(world)
    tool.script("echo 2 >>t/mine; echo 2 >>t/theirs; echo 3 >t/new")
    done = tool.run("commit")
    assert done.status == 1
    refused, remedy = done.err.splitlines()
    assert refused.split(": ")[1] == str(world.mount / "t/theirs")
    assert REMEDY.search(remedy)
    done = tool.run("commit", "--force")
    assert done.status == 1
    assert "Operation not permitted" in done.err
    world.freeze()
    assert (world.lowers[0] / "t/theirs").read_text() == "1\n"
    assert (world.lowers[0] / "t/mine").read_text() == "1\n2\n"
    assert sorted(os.listdir(world.lowers[0] / "t")) == ["mine", "new", "theirs"]


def test_a_bar_on_a_terminal_only(make_world: MakeWorld) -> None:
    """Long work shows how far it is, on standard error, and only to a person."""
    world = commit_world(make_world, USER)
    tool = Tool(world)
    tool.script("head -c 40000000 /dev/zero >big; truncate -s 40M hole")
    terminal = Terminal(tool.argv("export", "-o", str(world.home / "layer.tar")), world.env, world.mount)
    assert terminal.end() == 0
    assert "export" in terminal.text
    assert "100%" in terminal.text
    terminal = Terminal(tool.argv("commit", "big"), world.env, world.mount)
    assert terminal.end() == 0
    assert "commit" in terminal.text
    done = tool.run("commit")
    assert (done.status, done.out, done.err) == (0, "", "")
    world.freeze()
    assert os.stat(world.lowers[0] / "big").st_size == 40000000
    assert os.stat(world.lowers[0] / "hole").st_blocks < 1000
