"""Steps of a sandbox: log, undo, redo, restore, checkpoint, and what the other subcommands make of them.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from support.oracle import ROOT, USER, Who, run
from support.sandboxes import Tool, wait_for
from support.trees import tree

LOOK = "find . -printf '%P %y %m %l\\n' | sort; find . -type f -exec md5sum {} + | sort"


@pytest.fixture(params=[ROOT, USER], ids=lambda who: who.name)
def tool(request: pytest.FixtureRequest, area: Path) -> Tool:
    who: Who = request.param
    if os.geteuid() != 0 and who.is_root:
        pytest.skip("needs root")
    tool = Tool(area, who)
    tool.sh("mkdir d e; echo one >d/a; echo two >d/b; echo three >e/c; ln -s a d/l")
    return tool


def shown(tool: Tool, name: str = "one") -> str:
    """All that the view shows below the lower."""
    return tool.ok("run", "--name", name, "-C", tool.lower, "--", "sh", "-c", LOOK)


def kinds(tool: Tool, *words: str) -> list[tuple[str, str]]:
    """What diff tells, relative to the lower."""
    done = tool("diff", "one", *words, "--json")
    assert done.status in (0, 1), done.err
    return [(change["kind"], os.path.relpath(change["path"], tool.lower)) for change in json.loads(done.out)]


def steps(tool: Tool) -> list[tuple[int, bool]]:
    return [(step["number"], step["undone"]) for step in tool.json("log", "one")]


def test_a_run_is_a_step(tool: Tool) -> None:
    """With all that is known of it; one that changes nothing is none."""
    tool.box("one", "echo more >>d/a")
    tool.box("one", "cat d/a >/dev/null; chmod 644 d/a; echo one >x; rm x")
    assert tool("run", "--name", "one", "-C", tool.lower, "--", "sh", "-c", "rm d/b; exit 3").status == 3
    new, old = tool.json("log", "one")
    assert (old["number"], old["argv"][-1], old["cwd"], old["status"]) == (1, "echo more >>d/a", str(tool.home), 0)
    assert old["started"] <= old["ended"] <= new["started"] <= new["ended"]
    assert [(change["kind"], change["path"]) for change in old["changes"]] == [("modified", f"{tool.lower}/d/a")]
    assert (new["status"], [change["kind"] for change in new["changes"]]) == (3, ["removed"])
    text = tool.ok("log", "one", "1")
    assert text.splitlines()[0] == f"step {new['number']}"
    assert text.splitlines()[1:3] == ["    $ sh -c 'rm d/b; exit 3'", f"    in {tool.home}"]
    assert text.splitlines()[3].endswith(", exit 3")
    assert text.splitlines()[4:] == ["    1 removed"]
    assert "+more" in tool.ok("log", "-p", "one").splitlines()
    assert " 1 file changed, 1 insertion(+)" in tool.ok("log", "--stat", "one").splitlines()


def test_a_command_that_is_not_there_is_no_step(tool: Tool) -> None:
    tool.box("one", "echo more >>d/a")
    assert tool("run", "--name", "one", "--", "no-such-command").status == 127
    assert steps(tool) == [(1, False)]


def test_undo_and_redo(tool: Tool) -> None:
    """The view is what it was after each step, and the host is never touched."""
    before = tree(tool.lower)
    tool.box("one", "true")
    views = [shown(tool)]
    for script in ("echo more >>d/a; mkdir new; echo n >new/f", "mv d moved; rm e/c; chmod 600 moved/b",
                   "echo again >>moved/a; mkdir d; echo other >d/a; ln new/f new/g"):
        tool.box("one", script)
        views.append(shown(tool))
    assert len(set(views)) == 4
    assert tool.ok("undo", "one").startswith("undone step ")
    assert shown(tool) == views[2]
    tool.ok("undo", "one", "2")
    assert (shown(tool), kinds(tool)) == (views[0], [])
    tool.ok("redo", "one")
    assert shown(tool) == views[1]
    assert [step["undone"] for step in tool.json("redo", "one", "2")] == [False, False]
    assert shown(tool) == views[3]
    assert tree(tool.lower) == before


def test_what_is_undone_goes_with_the_next_change(tool: Tool) -> None:
    tool.box("one", "echo more >>d/a")
    tool.box("one", "echo more >>d/b")
    tool.ok("undo", "one")
    tool.box("one", "true")
    assert [undone for _, undone in steps(tool)] == [True, False]
    tool.box("one", "echo other >>e/c")
    assert [undone for _, undone in steps(tool)] == [False, False]
    assert tool.fails("redo", "one") == "sandbox one: there is no step to redo (ptoverlay log shows them)"
    assert kinds(tool) == [("modified", "d/a"), ("modified", "e/c")]


def test_diff_between_steps(tool: Tool) -> None:
    tool.box("one", "echo more >>d/a")
    tool.box("one", "mv d f; echo again >>f/a")
    tool.box("one", "rm e/c")
    first, second, third = (number for number, _ in reversed(steps(tool)))
    assert kinds(tool, f"{first}..{second}") == [("renamed", "f"), ("modified", "f/a")]
    assert kinds(tool, f"..{first}") == [("modified", "d/a")]
    assert kinds(tool, f"{second}..") == [("removed", "e/c")]
    assert kinds(tool) == kinds(tool, f"0..{third}") == [("removed", "e/c"), ("renamed", "f"), ("modified", "f/a")]
    assert kinds(tool, f"0..{third}", "e") == [("removed", "e/c")]
    patch = tool.ok("diff", "-p", "one", f"{first}..{second}", status=1)
    assert "rename from d/a" in patch or "+again" in patch
    assert "+more" not in patch


def test_restore(tool: Tool) -> None:
    """Files come back as they were after a step, or as the host has them; that is a step."""
    tool.sh("chmod 640 d/b; touch -d @1000000000 d/b")
    tool.box("one", "echo more >>d/a; ln -s x new")
    tool.box("one", "rm -r d; mkdir d; echo other >d/a; rm new")
    first = steps(tool)[-1][0]
    tool.ok("restore", "one", "--from", str(first), tool.lower / "d/a", tool.lower / "new")
    assert kinds(tool, f"..{first}") == [("modified", "d/a"), ("added", "new")]
    assert ("modified", "d/a") in kinds(tool)
    assert ("added", "new") in kinds(tool)
    tool.ok("restore", "one", tool.lower / "d")
    assert kinds(tool) == [("added", "new")]
    assert tool.ok("run", "--name", "one", "-C", tool.lower, "--", "stat", "-c", "%a %Y", "d/b") == "640 1000000000\n"
    assert tool.json("log", "one")[0]["kind"] == "restore"
    tool.ok("undo", "one")
    assert ("removed", "d/b") in kinds(tool)


def test_checkpoint(tool: Tool) -> None:
    """It names the last step; where nothing has happened there is none."""
    tool.box("one", "true")
    assert tool.fails("checkpoint", "one") == "sandbox one: nothing has changed in it yet"
    tool.box("one", "echo more >>d/a")
    tool.ok("checkpoint", "one", "-m", "before the upgrade")
    assert tool.json("log", "one")[0]["message"] == "before the upgrade"
    assert "    before the upgrade" in tool.ok("log", "one").splitlines()


def test_owners_and_numbers_stay(area: Path) -> None:
    """What an ordinary user's copy shows and does not have is shown in later steps, and in forks, too."""
    if os.geteuid() != 0:
        pytest.skip("needs files of another user")
    tool = Tool(area, USER)
    shared = tool.lower / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    os.chown(shared, 0, 0)
    (shared / "open").write_text("x")
    (shared / "open").chmod(0o666)
    look = "stat -c '%n %u %g %a' shared shared/open; stat -c %i shared/open"
    before = tool.sh(look)
    tool.box("one", "echo 1 >shared/new; echo 1 >>shared/open")
    assert tool.box("one", look) == before
    tool.box("one", "echo 2 >>shared/open")
    assert tool.box("one", look) == before
    tool.ok("fork", "one", "two")
    assert tool.ok("run", "--name", "two", "-C", tool.lower, "--", "sh", "-c", look) == before
    tool.ok("remove", "two")
    assert kinds(tool) == [("added", "shared/new"), ("modified", "shared/open")]


@pytest.mark.root_only
def test_a_directory_that_was_opened_stays_open(area: Path) -> None:
    """What an earlier step allows, the kernel must not be asked about on the host; nor what one forbids."""
    tool = Tool(area, ROOT)
    tool.sh("mkdir -m 700 shut; echo s >shut/f; mkdir open; echo o >open/f")
    tool.box("one", "chmod 755 shut; chmod 700 open")
    as_other = "setpriv --reuid 1000 --regid 1000 --clear-groups cat"
    assert tool.box("one", f"{as_other} shut/f; {as_other} open/f 2>&1 || :") == "s\ncat: open/f: Permission denied\n"


def test_names_of_one_file_stay_one(tool: Tool) -> None:
    """Whichever step changes it under whichever name."""
    tool.sh("ln d/a d/h")
    tool.box("one", "echo more >>d/a")
    assert tool.box("one", "cat d/h; stat -c %h d/h") == "one\nmore\n2\n"
    tool.box("one", "echo x >f; ln f g")
    tool.box("one", "echo y >>g")
    tool.box("one", "echo z >>f")
    assert tool.box("one", "cat f g; stat -c %h f") == "x\ny\nz\nx\ny\nz\n2\n"


def test_commit_takes_all_steps(tool: Tool) -> None:
    """They go to the host together, and the log begins anew."""
    tool.box("one", "echo more >>d/a; mkdir new; echo n >new/f")
    tool.box("one", "mv d moved; rm e/c; echo again >>moved/a")
    tool.box("one", "mv moved/a moved/z; mv new newer")
    assert f"{tool.lower}/moved/a -> {tool.lower}/moved/z" in tool.ok("commit", "-n", "one") or (
        f"{tool.lower}/d/a -> {tool.lower}/moved/z" in tool.ok("commit", "-n", "one"))
    tool.ok("commit", "one")
    assert sorted(path.relative_to(tool.lower).as_posix() for path in tool.lower.rglob("*")) == [
        "e", "moved", "moved/b", "moved/l", "moved/z", "newer", "newer/f"]
    assert (tool.lower / "moved/z").read_text() == "one\nmore\nagain\n"
    assert kinds(tool) == []
    assert tool.json("log", "one") == []
    assert "no step to undo" in tool.fails("undo", "one")


def test_what_the_host_changed_is_a_conflict_in_any_step(tool: Tool) -> None:
    """It is what the first step took over that counts, not the step between."""
    tool.box("one", "echo more >>d/a; echo more >>d/b")
    tool.box("one", "echo again >>d/a; echo again >>d/b")
    tool.sh("echo host >>d/b")
    done = tool("commit", "-n", "one")
    assert (done.status, done.err.count("\n"), f"{tool.lower}/d/b: not committed" in done.err) == (1, 2, True)
    one = f"one {tool.lower}/d/b"
    assert done.err.splitlines()[1] == (
        f"ptoverlay: where the host has changed since: ptoverlay diff -p {one} shows the sandbox's side, commit "
        f"--merge makes one text of both, discard {one} gives the sandbox's up, commit --force puts it in the place of "
        "the host's, which undo --host brings back")
    done = tool("commit", "one")
    assert (done.status, done.err.count("\n")) == (1, 2)
    assert (tool.lower / "d/a").read_text() == "one\nmore\nagain\n"
    assert (tool.lower / "d/b").read_text() == "two\nhost\n"
    assert kinds(tool) == [("modified", "d/b")]


def test_what_the_host_changed_in_a_directory_that_was_made_anew(tool: Tool) -> None:
    tool.sh("mkdir -p anew; echo x >anew/x")
    tool.box("one", "rm -r anew; mkdir anew; echo n >anew/n")
    tool.box("one", "echo 2 >two")
    tool.sh("echo host >anew/x")
    done = tool("commit", "--json", "one")
    assert f"{tool.lower}/anew/x" in {row["path"] for row in json.loads(done.out)["refused"]}
    assert tool.sh("ls anew; cat anew/x two") == "x\nhost\n2\n"


def test_other_subcommands_see_all_steps(tool: Tool) -> None:
    tool.box("one", "echo more >>d/a; mkdir new; echo n >new/f")
    tool.box("one", "rm d/b; mv new newer")
    tool.box("one", "echo top >>newer/f")
    told = [("modified", "d/a"), ("removed", "d/b"), ("added", "newer"), ("added", "newer/f")]
    assert kinds(tool) == told
    (row,) = tool.json("list")
    assert (row["changes"], row["layers"]) == (4, 3)
    assert tool.json("stats", "one")["layer"]["added"] == 2
    (found,) = tool.json("explain", "one", tool.lower / "d/b", status=1)
    assert (found["why"], found["lower_path"]) == ("whiteout", f"{tool.lower}/d/b")
    (found,) = tool.json("explain", "one", tool.lower / "d/a")
    assert (found["why"], found["lower_path"]) == ("copied up", f"{tool.lower}/d/a")
    assert tool.ok("fsck", "one") == ""
    archive = tool.home / "layer.tar"
    tool.ok("export", "one", "-o", archive)
    tool.ok("import", "-l", tool.lower, "copy", archive)
    copied = json.loads(tool.ok("diff", "copy", "--json", status=1))
    assert [(each["kind"], os.path.relpath(each["path"], tool.lower)) for each in copied] == told
    tool.ok("fork", "one", "two")
    assert shown(tool, "two") == shown(tool, "copy")
    assert "a lower of two" in tool.fails("undo", "one")
    tool.ok("remove", "two")
    tool.ok("discard", "one", tool.lower / "newer")
    assert kinds(tool) == told[:2]
    assert len(steps(tool)) == 0


def test_old_steps_are_folded(tool: Tool) -> None:
    """There are not many more of them than asked for; what cannot be undone any more stays in the view."""
    for number in range(8):
        tool.ok("run", "--name", "one", "-l", tool.lower, "--keep-steps", "2", "-C", tool.lower, "--", "sh", "-c",
                f"echo {number} >>d/a; echo {number} >f{number}; rm -f f{number - 3}; mv d/[bc]* d/c{number}")
    top = tool.state / "ptoverlay/sandboxes/one"
    wait_for(lambda: len(list((top / "steps").iterdir())) + (top / "upper").exists() <= 4)  # behind the last command
    log = tool.json("log", "one")
    assert (len(log), log[-1]["folded"] > 0) == (3 + (len(log) == 4), True)
    view = shown(tool)
    assert (tool.ok("run", "--name", "one", "-C", tool.lower, "--", "cat", "d/a")
            == "one\n" + "".join(f"{number}\n" for number in range(8)))
    able = sum(not step["folded"] for step in log)
    assert "there are only" in tool.fails("undo", "one", str(able + 1))
    assert shown(tool) == view
    tool.ok("undo", "one", str(able))
    tool.ok("redo", "one", str(able))
    assert shown(tool) == view
    assert f"it was folded into step {log[-1]['number']}" in tool.fails("diff", "one", "1..")


def test_a_layer_without_history(tool: Tool) -> None:
    """What was there before is a step of its own."""
    tool.box("one", "echo more >>d/a")
    (tool.state / "ptoverlay/sandboxes/one/history.json").unlink()
    assert tool.json("log", "one") == []
    assert kinds(tool) == [("modified", "d/a")]
    tool.box("one", "echo more >>d/b")
    assert [step["kind"] for step in tool.json("log", "one")] == ["run", "before"]
    tool.ok("undo", "one", "2")
    assert kinds(tool) == []


def test_mistakes_are_one_line(tool: Tool) -> None:
    tool.box("one", "echo more >>d/a")
    tool.box("one", "echo more >>d/b")
    before = tree(tool.state)
    assert "there are only 2 steps to undo" in tool.fails("undo", "one", "3")
    assert "a number of steps is meant" in tool.fails("undo", "one", "x")
    assert "a number of steps is meant" in tool.fails("redo", "one", "0")
    assert tool.fails("diff", "one", "1..9") == "step 9: there is none of this number (ptoverlay log shows them)"
    assert "the earlier step comes first" in tool.fails("diff", "one", "2..1")
    assert "there is none of this number" in tool.fails("restore", "one", "--from", "7", tool.lower / "d")
    assert "no PATH given" in tool.fails("restore", "one")
    assert "the number of a step is meant" in tool.fails("restore", "one", "--from", "x", tool.lower / "d")
    assert "only a sandbox with a name has steps" in tool.fails("log", "-u", tool.home, "-l", tool.lower)
    assert "a number from 1 to 300" in tool.fails("run", "--name", "one", "--keep-steps", "0", "--", "true")
    assert "only a sandbox has steps" in tool.fails("run", "--keep-steps", "3", "--", "true")
    passing = ("lock", "socket", ".new")  # a supervisor that ends may still be writing
    assert {path: entry[:3] for path, entry in tree(tool.state).items() if not path.endswith(passing)} == {
        path: entry[:3] for path, entry in before.items() if not path.endswith(passing)}


def test_while_it_runs(tool: Tool) -> None:
    """Nothing is undone under a command; what is there can be looked at."""
    tool.box("one", "echo more >>d/a")
    running = tool.start("run", "--name", "one", "-C", tool.lower, "--", "sh", "-c", "echo x >new; echo in; read line")
    assert running.stdout is not None
    assert running.stdout.readline() == "in\n"
    for words in (("undo", "one"), ("redo", "one"), ("restore", "one", str(tool.lower / "d"))):
        assert "in use by process" in tool.fails(*words)
    assert kinds(tool) == [("modified", "d/a"), ("added", "new")]
    assert [step["ended"] is None for step in tool.json("log", "one")] == [True, False]
    running.communicate("\n")
    assert [step["ended"] is None for step in tool.json("log", "one")] == [False, False]


@pytest.mark.parametrize("damage", ["", "{", '{"version": 1, "steps": [{"number": "x"}]}', '{"version": 9}',
                                    '{"version": 1, "top": "../../x"}', '{"version": 1, "next": 0}'])
def test_a_damaged_history_is_one_line(tool: Tool, damage: str) -> None:
    tool.box("one", "echo more >>d/a")
    path = tool.state / "ptoverlay/sandboxes/one/history.json"
    path.write_text(damage)
    for words in (("log", "one"), ("undo", "one"), ("diff", "one"), ("run", "--name", "one", "--", "true")):
        assert tool.fails(*words).startswith(str(path))
    assert tool("remove", "one").status == 0
    assert tool.json("list") == []


def test_a_commit_of_nothing_forgets_no_step(tool: Tool) -> None:
    """None is left to commit, none of what was asked for, or none that may be: what was undone comes back."""
    tool.box("one", "echo x >>d/a")
    tool.box("one", "echo y >>d/a; echo y >new")
    log = tool.json("log", "one")
    tool.ok("commit", "one", tool.lower / "e")
    assert tool.json("log", "one") == log
    tool.ok("undo", "one", "2")
    tool.ok("commit", "one")
    tool.ok("redo", "one", "2")
    assert tool.json("log", "one") == log
    tool.ok("undo", "one", "1")
    tool.sh("echo host >>d/a")
    refused = tool("commit", "one")
    assert (refused.status, "modified on the host since" in refused.err) == (1, True)
    tool.ok("redo", "one", "1")
    assert steps(tool) == [(2, False), (1, False)]
    tool.ok("commit", "one", "--force")
    assert (tool.sh("cat d/a new"), tool.json("log", "one")) == ("one\nx\ny\ny\n", [])


def test_a_dry_run_of_a_commit_knows_all_names_of_a_file(tool: Tool) -> None:
    """Those as well that only the lower has as yet."""
    tool.sh("ln d/a other")
    tool.box("one", "echo more >>d/a")
    told = [f"modified  {tool.lower}/{name}  (4B -> 9B, one of 2 names)" for name in ("d/a", "other")]
    assert tool.ok("commit", "-n", "one").splitlines() == told
    tool.ok("commit", "one")
    assert tool.sh("cat d/a other") == "one\nmore\n" * 2


def test_a_broken_layer_in_the_middle(tool: Tool) -> None:
    """It is named in one line, and nothing is lost: who asks for it is no step, and undo goes below it and back."""
    for name in ("x", "y", "z"):
        tool.box("one", f"echo {name} >>d/a")
    log, listed = tool.json("log", "one"), tool.json("list")
    (layer,) = (tool.state / "ptoverlay/sandboxes/one/steps").glob("2/upper")
    layer.rename(layer.with_name("gone"))
    for words in (("diff", "one"), ("diff", "one", "1..2"), ("diff", "one", "0..3"), ("log", "one"),
                  ("run", "--name", "one", "--", "true"), ("commit", "one"), ("fork", "one", "two"),
                  ("restore", "one", "--from", "2", tool.lower / "d/a")):
        assert f"{layer}: No such file or directory" in tool.fails(*words), words
    tool.ok("undo", "one", "2")
    assert kinds(tool) == [("modified", "d/a")]
    assert tool.ok("diff", "-p", "one", status=1).count("+x") == 1
    tool.ok("redo", "one", "2")
    layer.with_name("gone").rename(layer)
    assert (tool.json("log", "one"), tool.json("list")) == (log, listed)
    assert tool.box("one", "cat d/a") == "one\nx\ny\nz\n"


def test_two_undos_at_once(tool: Tool) -> None:
    """Each takes back a step of its own, or is told that the other one is at it."""
    for name in "wxyz":
        tool.box("one", f"echo {name} >{name}")
    both = [tool.start("undo", "one") for _ in range(2)]
    done = [(process.communicate(), process.wait()) for process in both]
    worked = sum(status == 0 for _, status in done)
    assert worked
    assert all(status == 0 or "in use" in err for (_, err), status in done)
    assert sum(undone for _, undone in steps(tool)) == worked
    assert [path for _, path in kinds(tool)] == ["w", "x", "y", "z"][:4 - worked]


def test_a_full_disk_while_folding(tool: Tool) -> None:
    """The steps stay as they are, and a line tells."""
    if os.geteuid() != 0:
        pytest.skip("mounts")
    owner = f"uid={tool.who.uid},gid={tool.who.gid}"
    run(["mount", "-t", "tmpfs", "-o", f"size=1m,nr_inodes=420,{owner}", "none", tool.state])
    tool.sh(f"cd {tool.state}; seq -f spare%g 20 | xargs touch")
    try:
        for number in range(3):
            tool.ok("run", "--name", "one", "-l", tool.lower, "--keep-steps", "1", "-C", tool.lower, "--", "sh", "-c",
                    f"mkdir n{number}; cd n{number}; seq -f d%g 60 | xargs mkdir")
        done = tool("run", "--name", "one", "--keep-steps", "1", "-C", tool.lower, "--", "sh", "-c",
                    "i=0; while touch z$i 2>/dev/null; do i=$((i+1)); done; exit 5")
        assert done.status == 5
        assert "No space left on device" in done.err
        assert len({path for _, path in kinds(tool) if "/" not in path and path.startswith("n")}) == 3
        tool.sh(f"rm {tool.state}/spare*")  # enough to begin, too little to fold
        wait_for(lambda: "could not be made one layer: No space left on device: nothing is lost" in tool(
            "run", "--name", "one", "--keep-steps", "1", "-C", tool.lower, "--", "true").err)
    finally:
        run(["umount", "-l", tool.state])


def test_the_state_is_private(tool: Tool) -> None:
    """Layers of later steps are as closed as the first one."""
    tool.box("one", "echo more >>d/a")
    tool.box("one", "echo more >>d/b")
    for path in (tool.state / "ptoverlay/sandboxes/one/steps", tool.state / "ptoverlay/sandboxes/one/steps/2"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o711
