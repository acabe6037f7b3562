"""Named sandboxes: run --name, list, shell, fork, remove, discard.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from support.oracle import Who
from support.sandboxes import LIMIT, Tool


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    made = Tool(area, who)
    made.sh("mkdir -p dir/sub; echo a >a; echo b >b; ln b b2; echo x >dir/x; echo y >dir/sub/y; echo old >old;"
            "ln -s a link")
    return made


def tree(directory: Path) -> dict[str, str]:
    """Name → content of all files below a directory."""
    return {str(path.relative_to(directory)): path.read_text() if path.is_file() else ""
            for path in sorted(directory.rglob("*"))}


# ---- run --name ----


def test_a_named_sandbox_goes_on_where_it_was(tool: Tool) -> None:
    before = tree(tool.lower)
    tool.box("one", "echo new >new; rm a; echo more >>b")
    assert tree(tool.lower) == before
    # the lower is remembered
    assert tool.ok("run", "--name", "one", "-C", tool.lower, "--", "sh", "-c", "cat new b; ls a 2>&1 || :") == (
        "new\nb\nmore\nls: cannot access 'a': No such file or directory\n")
    # and another sandbox has nothing of it
    assert tool.box("two", "cat a b; ls new 2>/dev/null || :") == "a\nb\n"
    assert tree(tool.lower) == before


def test_the_layer_is_below_the_state_directory_and_hidden(tool: Tool) -> None:
    tool.ok("run", "--name", "one", "--", "sh", "-c", f"echo x >{tool.home}/f")
    (directory,) = (tool.state / "ptoverlay/sandboxes").iterdir()
    assert directory.name == "one"
    upper = directory / "upper"
    assert (upper / tool.home.relative_to("/") / "f").read_text() == "x\n"
    assert tool("run", "--name", "one", "--", "ls", upper).status == 2
    assert not (tool.home / "f").exists()


def test_a_sandbox_is_not_made_for_a_command_that_never_ran(tool: Tool) -> None:
    done = tool("run", "--name", "one", "-l", tool.lower, "--", "no-such-program")
    assert (done.status, done.err) == (127, "ptoverlay: no-such-program: No such file or directory\n")
    assert tool.json("list") == []
    assert list((tool.state / "ptoverlay/sandboxes").iterdir()) == []


def test_exit_status_and_signals_are_the_commands(tool: Tool) -> None:
    assert tool("run", "--name", "one", "-l", tool.lower, "--", "sh", "-c", "exit 3").status == 3
    assert tool.json("list")[0]["last_run"]["status"] == 3
    assert tool("run", "--name", "one", "--", "sh", "-c", "kill -TERM $$").status == 128 + 15
    assert tool.json("list")[0]["last_run"]["status"] == -15


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", ".hidden", "a b", "a\nb", "x" * 101])
def test_names_that_cannot_be(tool: Tool, name: str) -> None:
    assert "a name is made of" in tool.fails("run", f"--name={name}", "--", "true")
    assert not (tool.state / "ptoverlay").exists()


def test_other_layers_than_the_sandbox_has_are_refused(tool: Tool) -> None:
    tool.box("one", "true")
    for words in (["-l", tool.home], ["-m", tool.home], ["-o", "redirect_dir=off"]):
        assert "sandbox one: it " in tool.fails("run", "--name", "one", *words, "--", "true")
    assert "leave --upper" in tool.fails("run", "--name", "one", "-u", tool.home / "u", "--", "true")
    assert "sandbox one: it lies on" in tool.fails("diff", "--name", "one", "-l", tool.home)
    assert tool.ok("run", "--name", "one", "-l", tool.lower, "--", "true") == ""


def test_two_runs_of_one_sandbox(tool: Tool) -> None:
    tool.box("one", "echo first >first")
    running = tool.start("run", "--name", "one", "-C", tool.lower, "--", "sh", "-c",
                         "echo in; read line; echo x >second")
    assert running.stdout is not None
    assert running.stdout.readline() == "in\n"
    (row,) = tool.json("list")
    assert row["running"]
    assert row["last_run"]["ended"] is None
    (process,) = row["processes"]
    assert process["argv"][:2] == ["sh", "-c"]
    assert 100_000 < process["memory"] < 100_000_000
    assert re.search(r"  running \(1 process, \d[\d.]*[KM]\)$", tool.ok("list"), re.MULTILINE)
    for words in (["remove", "one"], ["discard", "one"], ["undo", "one"], ["commit", "one"]):
        assert f"sandbox one: in use by process {row['pid']}" in tool.fails(*words)
    # looking does no harm
    assert [change["path"] for change in tool.json("diff", "one", status=1)] == [f"{tool.lower}/first"]
    running.communicate("\n", timeout=LIMIT)
    assert running.returncode == 0
    assert len(tool.json("diff", "one", status=1)) == 2
    assert not tool.json("list")[0]["running"]


def test_a_killed_supervisor_leaves_a_sandbox_that_goes_on(tool: Tool) -> None:
    running = tool.start("run", "--name", "one", "-l", tool.lower, "-C", tool.lower, "--", "sh", "-c",
                         "echo x >kept; echo in; read line")
    assert running.stdout is not None
    running.stdout.readline()
    os.kill(tool.json("list")[0]["pid"], 9)
    running.communicate(timeout=LIMIT)
    (row,) = tool.json("list")
    assert (row["running"], row["last_run"]["status"]) == (False, None)
    assert "killed" in tool.ok("list")
    assert tool.ok("run", "--name", "one", "-C", tool.lower, "--", "cat", "kept") == "x\n"


def test_without_a_name_the_layer_is_thrown_away_and_a_terminal_is_told(tool: Tool) -> None:
    status, shown = tool.on_terminal("-l", tool.lower, "-C", tool.lower, "--", "sh", "-c", "rm a; echo done")
    assert (status, shown) == (
        0, "done\nptoverlay: what was changed is thrown away (ptoverlay run --name NAME keeps it)\n")
    assert tool.on_terminal("-q", "-l", tool.lower, "--", "touch", tool.lower / "a") == (0, "")
    assert tool.on_terminal("--name", "one", "-l", tool.lower, "--", "touch", tool.lower / "a") == (0, "")
    assert tool.on_terminal("-l", tool.lower, "-u", tool.home / "u", "--", "touch", tool.lower / "a") == (0, "")
    assert tool("-l", tool.lower, "--", "sh", "-c", "echo y >a").err == ""
    # nothing was changed, nothing is lost
    assert tool.on_terminal("-l", tool.lower, "-C", tool.lower, "--", "cat", "a") == (0, "a\n")


def test_a_terminal_is_told_what_is_waited_for(tool: Tool) -> None:
    fifo = tool.home / "go"
    tool.sh(f"mkfifo {fifo}")
    words = ("-l", tool.lower, "-C", tool.lower, "--", "sh", "-c", f"cat {fifo} </dev/null & echo begun")
    seen: list[str] = []

    def shows(text: str) -> None:
        if "still running" in text and not seen:
            seen.append(text)
            tool.sh(f"echo gone on >{fifo}")

    status, shown = tool.on_terminal(*words, shows=shows)
    told = re.sub(r"\(\d+\)", "(N)", shown)
    assert (status, told) == (0, f"begun\nptoverlay: sh: ended; cat {fifo} (N) is still running (Ctrl-C ends it, "
                                 "--kill-on-exit does so at once)\ngone on\n")


def test_names_that_are_nearly_right(tool: Tool) -> None:
    tool.box("trial", "true")
    assert tool.fails("diff", "tril") == ("sandbox tril: there is none of this name (did you mean trial? "
                                          "ptoverlay list shows them; ptoverlay run --name makes one)")
    for words, remedy in ((("dif", "trial"), " (did you mean ptoverlay diff?)"),
                          (("help",), " (ptoverlay -h shows the options)"),
                          (("nothing-near",), ""), (("--", "dif"), ""), (("-q", "dif"), "")):
        done = tool(*words)
        word = next(word for word in words if not word.startswith("-"))
        assert (done.status, done.err) == (127, f"ptoverlay: {word}: No such file or directory{remedy}\n")
    assert "(ptoverlay import -h shows the options)" in tool.fails("import", "one")


def test_a_place_for_sandboxes_that_cannot_be_written(tool: Tool) -> None:
    tool.env["XDG_STATE_HOME"] = "/proc"
    assert "sandbox cannot be made: " in tool.fails("run", "--name", "one", "--", "true")
    assert "XDG_STATE_HOME names another place" in tool.fails("run", "--name", "one", "--", "true")


@pytest.mark.root_only
def test_root_keeps_sandboxes_where_programs_that_change_their_ids_get_through(tool: Tool) -> None:
    tool.home.chmod(0o700)
    del tool.env["XDG_STATE_HOME"]
    name = f"test-{os.getpid()}"
    there = Path("/var/lib/ptoverlay").exists()
    try:
        assert tool.box(name, "cp /bin/echo prog; chmod 755 prog; setpriv --reuid 77 --clear-groups ./prog x") == "x\n"
        assert (Path("/var/lib/ptoverlay/sandboxes") / name / "upper/prog").exists()
    finally:
        tool("remove", name)
        if not there:
            Path("/var/lib/ptoverlay/sandboxes").rmdir()
            Path("/var/lib/ptoverlay").rmdir()


@pytest.mark.root_only
def test_a_full_disk(tool: Tool) -> None:
    tool.sh(f"mount -t tmpfs -o size=64k none {tool.state}")
    try:
        tool.box("one", "true")
        tool.sh(f"dd if=/dev/zero of={tool.state}/fill bs=4k 2>/dev/null || :")
        assert "No space left on device" in tool.fails("run", "--name", "two", "--", "true")
        done = tool("run", "--name", "one", "--", "sh", "-c", f"rm {tool.lower}/a; exit 4")
        assert done.status == 4  # which may be what frees some
        assert [row["name"] for row in tool.json("list")] == ["one"]
        assert tool.json("list")[0]["last_run"]["status"] == 4
        tool.sh(f"rm {tool.state}/fill")
        assert tool.ok("run", "--name", "one", "--", "echo", "x") == "x\n"
        assert tool.ok("remove", "one") == ""
    finally:
        tool.sh(f"umount {tool.state}")


# ---- list ----


def test_list(tool: Tool) -> None:
    assert tool.ok("list") == ""
    assert tool.json("list") == []
    tool.box("zwei", "seq 100000 >big; rm a")
    tool.box("eins", "true")
    head, eins, zwei = tool.ok("list").splitlines()
    assert head.split() == ["NAME", "LOWER", "SIZE", "CHANGES", "LAST", "COMMAND", "STATE"]
    assert eins.split()[:2] == ["eins", str(tool.lower)]
    assert zwei.split()[3] == "2"
    assert "sh -euc 'seq 100000 >big; rm a'" in zwei
    assert zwei.endswith("exit 0")
    rows = tool.json("list")
    assert [(row["name"], row["changes"], row["lower"]) for row in rows] == [
        ("eins", 0, [str(tool.lower)]), ("zwei", 2, [str(tool.lower)])]
    assert 500_000 < rows[1]["size"] < 800_000
    assert rows[1]["last_run"]["argv"] == ["sh", "-euc", "seq 100000 >big; rm a"]


def test_metadata_that_cannot_be_read(tool: Tool) -> None:
    tool.box("good", "true")
    tool.box("bad", "true")
    for text in ("", "{", "[]", '{"version": 1}', '{"version": 99}'):
        (tool.state / "ptoverlay/sandboxes/bad/sandbox.json").write_text(text)
        done = tool("list")
        assert done.status == 0
        assert done.err.count("\n") == 1
        assert "sandboxes/bad/sandbox.json: " in done.err
        assert [line.split()[0] for line in done.out.splitlines()] == ["NAME", "good"]
        assert "sandbox.json: " in tool.fails("run", "--name", "bad", "--", "true")
    tool("remove", "bad")
    assert [row["name"] for row in tool.json("list")] == ["good"]


# ---- shell ----


def test_shell(tool: Tool) -> None:
    tool.box("one", "echo x >new")
    tool.env["SHELL"] = "/bin/sh"
    status, shown = tool.on_terminal("shell", "one", "-C", tool.lower,
                                     typed="echo $PTOVERLAY_NAME is $(cat new); echo y >typed; exit 7\n")
    assert status == 7
    assert "one is x\n" in shown
    assert "thrown away" not in shown
    assert tool.ok("run", "--name", "one", "-C", tool.lower, "--", "cat", "typed") == "y\n"
    assert "there is none of this name" in tool.fails("shell", "two")


def test_shell_over_directories(tool: Tool) -> None:
    tool.ok("-l", tool.lower, "-u", tool.home / "upper", "--", "true")
    status, _ = tool.on_terminal("shell", "-u", tool.home / "upper", "-l", tool.lower, "-C", tool.lower,
                                 typed="echo y >typed; exit\n")
    assert status == 0
    assert (tool.home / "upper/typed").read_text() == "y\n"


# ---- fork and remove ----


def test_fork_goes_on_at_no_copy(tool: Tool) -> None:
    tool.box("one", "seq 100000 >big; rm a; mv dir moved; echo more >>b")
    before = tree(tool.state / "ptoverlay/sandboxes/one/upper")
    assert tool.ok("fork", "one", "two") == ""
    (row,) = [row for row in tool.json("list") if row["name"] == "two"]
    assert (row["parent"], row["changes"], row["last_run"]) == ("one", 0, None)
    assert row["size"] < 20_000
    assert "never ran" in tool.ok("list")
    assert tool.ok("run", "--name", "two", "-C", tool.lower, "--", "sh", "-c",
                   "tail -n 1 big; cat moved/sub/y b; ls a 2>/dev/null || echo no a; rm big; echo 2 >a") == (
                       "100000\ny\nb\nmore\nno a\n")
    assert tree(tool.state / "ptoverlay/sandboxes/one/upper") == before
    # what the fork has changed, and no more
    assert [(c["kind"], c["path"]) for c in tool.json("diff", "two", status=1)] == [
        ("added", f"{tool.lower}/a"), ("removed", f"{tool.lower}/big")]
    # forks of forks
    tool.ok("fork", "two", "three")
    assert tool.ok("run", "--name", "three", "-C", tool.lower, "--", "cat", "a", "moved/x") == "2\nx\n"


def test_what_has_a_fork_stays_as_it_is(tool: Tool) -> None:
    tool.box("one", "echo x >new")
    tool.ok("fork", "one", "two")
    for words in (["run", "--name", "one", "--", "true"], ["remove", "one"], ["discard", "one"],
                  ["shell", "one"]):
        assert "sandbox one: a lower of two" in tool.fails(*words)
    assert len(tool.json("diff", "one", status=1)) == 1
    assert tool.ok("remove", "two", "one") == ""
    assert tool.json("list") == []


def test_fork_that_cannot_be(tool: Tool) -> None:
    assert "there is none of this name" in tool.fails("fork", "one", "two")
    tool.box("one", "true")
    tool.box("two", "true")
    assert "there is one of this name already" in tool.fails("fork", "one", "two")
    assert "a name is made of" in tool.fails("fork", "one", "../x")


def test_remove(tool: Tool) -> None:
    tool.sh("mkdir -p ptoverlay/sandboxes/.removed.old.1234/upper; chmod 711 ptoverlay", cwd=tool.state)
    tool.box("one", "mkdir -p deep/er; chmod 500 deep; rm -r dir; echo x >x; chmod 000 x")
    tool.box("two", "true")
    done = tool("remove", "one", "three", "two")
    assert (done.status, done.err) == (125, "ptoverlay: sandbox three: there is none of this name (ptoverlay list "
                                       "shows them; ptoverlay run --name makes one)\n")
    assert list((tool.state / "ptoverlay/sandboxes").iterdir()) == []


def test_remove_tells(tool: Tool) -> None:
    tool.box("one", "true")
    done = tool("remove", "--json", "one", "two")
    told = json.loads(done.out)
    assert (done.status, told["removed"], list(told["refused"])) == (125, ["one"], ["two"])
    assert done.err == f"ptoverlay: {told['refused']['two']}\n"


# ---- discard ----


def test_discard_everything(tool: Tool) -> None:
    script = "echo n >new; rm a; mv dir moved; echo more >>b; chmod 600 old; mkdir -p x/y; ln -sf b link; chmod 711 ."
    expected = tool.box("one", "ls -lR")
    tool.box("one", script)
    assert tool("diff", "one").status == 1
    shown = tool.ok("discard", "-n", "one")
    assert len(shown.splitlines()) == len(tool.json("diff", "one", status=1)) == len(tool.json("discard", "-n", "one"))
    assert tool.ok("discard", "one") == ""
    assert tool.ok("diff", "one") == ""
    assert tool.box("one", "ls -lR") == expected
    assert tool.box("one", "cat a dir/sub/y b2") == "a\ny\nb\n"


def test_discard_paths(tool: Tool) -> None:
    tool.box("one", "echo n >new; echo m >new2; rm a; mv dir moved; echo z >>moved/x; echo m >>old; mkdir -p x/y;"
             "echo q >x/y/q")
    for words, left in [
        (["new"], 8), (["new*"], 7), ([f"{tool.lower}/a"], 6), (["x/y/q"], 5), (["x"], 3), (["dir"], 1), (["old"], 0),
    ]:
        assert tool("discard", "one", *words, cwd=tool.lower).status == 0
        assert len(tool.json("diff", "one", status=1 if left else 0)) == left, words
    assert tool.box("one", "cat a old dir/x dir/sub/y; ls") == "a\nold\nx\ny\na\nb\nb2\ndir\nlink\nold\n"


def test_discard_takes_all_names_of_a_file(tool: Tool) -> None:
    tool.box("one", "echo more >>b; cat b2; touch -h link")
    assert tool.box("one", "cat b b2") == "b\nmore\nb\nmore\n"
    tool.ok("discard", "one", tool.lower / "b")
    assert tool.box("one", "cat b b2; stat -c %h b") == "b\nb\n2\n"
    assert [c["path"] for c in tool.json("diff", "one", status=1)] == [f"{tool.lower}/link"]


def test_discard_of_a_removed_directory_that_was_made_anew(tool: Tool) -> None:
    tool.box("one", "rm -r dir; mkdir dir; echo new >dir/x; echo n >dir/n")
    assert "cannot be undone alone" in tool.fails("discard", "one", tool.lower / "dir/x")
    assert "cannot be undone alone" in tool.fails("discard", "one", tool.lower / "dir/sub")
    assert len(tool.json("diff", "one", status=1)) == 3
    tool.ok("discard", "one", tool.lower / "dir/n")
    assert len(tool.json("diff", "one", status=1)) == 2
    tool.ok("discard", "one", tool.lower / "dir")
    assert tool.ok("diff", "one") == ""
    assert tool.box("one", "cat dir/x dir/sub/y") == "x\ny\n"


def test_discard_of_metadata_of_a_directory(tool: Tool) -> None:
    tool.box("one", "chmod 700 dir; setfattr -n user.t -v 1 dir; echo n >dir/n")
    tool.ok("discard", "one", tool.lower / "dir/n")
    assert [(c["kind"], c["metadata"]) for c in tool.json("diff", "one", status=1)] == [
        ("metadata", ["mode", "xattr user.t"])]
    tool.ok("discard", "one", tool.lower / "dir")
    assert tool.ok("diff", "one") == ""


def test_discard_of_what_has_not_changed(tool: Tool) -> None:
    tool.box("one", "echo n >new; echo n >other")
    assert tool.ok("discard", "one", tool.lower / "a") == ""
    assert len(tool.json("diff", "one", status=1)) == 2
    tool.ok("discard", "one", tool.lower / "a", tool.lower / "new")
    assert [change["path"] for change in tool.json("diff", "one", status=1)] == [f"{tool.lower}/other"]
    done = tool("discard", "one", tool.lower / "slip", tool.lower / "other")
    assert (done.status, done.err) == (0, f"ptoverlay: {tool.lower}/slip: nothing is there, and nothing was\n")
    assert tool.ok("diff", "one") == ""


def test_discard_over_directories_in_use(tool: Tool) -> None:
    upper = tool.home / "upper"
    running = tool.start("-l", tool.lower, "-u", upper, "--", "sh", "-c", "echo in; read line")
    assert running.stdout is not None
    running.stdout.readline()
    assert "in use by another run" in tool.fails("discard", "-u", upper, "-l", tool.lower)
    assert tool.ok("diff", "-u", upper, "-l", tool.lower) == ""
    running.communicate("\n", timeout=LIMIT)


# ---- the command line ----


@pytest.mark.parametrize("command", ["list", "shell", "fork", "remove", "diff", "explain", "stats", "discard"])
def test_every_subcommand_has_help_and_refuses_what_it_does_not_know(tool: Tool, command: str) -> None:
    shown = tool.ok(command, "-h")
    assert shown.startswith(f"usage: ptoverlay {command} ")
    assert "Exit status" in shown
    assert "SPDX" not in shown
    assert tool.fails(command, "--no-such-option").startswith(f"{command}: ")
    assert command in tool.ok("-h")
    if command != "list":
        assert tool.fails(command).endswith(" -h shows the options)")


def test_a_command_with_the_name_of_a_subcommand(tool: Tool) -> None:
    assert tool.ok("-l", tool.lower, "-C", tool.lower, "--", "diff", "a", "a") == ""
    assert tool.ok("run", "-l", tool.lower, "-C", tool.lower, "diff", "a", "a") == ""


def test_output_that_nobody_reads(tool: Tool) -> None:
    tool.box("one", "for i in $(seq 300); do echo x >n$i; done")
    process = tool.start("diff", "--json", "one")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(LIMIT) == -13
    assert process.stderr.read() == ""


def test_json_of_names_that_are_no_text(tool: Tool) -> None:
    tool.box("one", r"""touch "$(printf 'a\377b\nc\033[2J')" """)
    assert tool("diff", "one").out == f'added     "{tool.lower}/a\\377b\\nc\\033[2J"\n'
    ((change),) = json.loads(tool("diff", "one", "--json").out)
    assert os.fsencode(change["path"]).endswith(b"/a\xffb\nc\x1b[2J")


@pytest.mark.root_only
def test_a_full_disk_is_named_and_the_run_is_not_lost(tool: Tool) -> None:
    """Where sandboxes are kept: what was full, and what frees it; how the run ended is known all the same."""
    state = tool.home / "small"
    state.mkdir()
    tool.sh(f"mount -t tmpfs -o size=128k none {state}")
    tool.env["XDG_STATE_HOME"] = str(state)
    remedy = f"(free some on {state}; ptoverlay list shows what sandboxes take, discard and remove free it)"
    try:
        words = ("run", "--name", "one", "-l", tool.lower, "-C", tool.lower, "--", "sh", "-c")
        done = tool(*words, "head -c 1M /dev/zero >big; exit 3")
        box = state / "ptoverlay/sandboxes/one"
        assert done.status == 3
        assert done.err.splitlines()[1:] == [
            f"ptoverlay: {box}/stats.json: No space left on device: not all of the run is written down {remedy}"]
        (row,) = tool.json("list")
        assert (row["last_run"]["status"], row["running"]) == (3, False)
        assert "exit 3" in tool.ok("list")
        tool.sh(f"cat /dev/zero >{state}/rest || true")
        failed = tool.fails("run", "--name", "two", "-l", tool.lower, "--", "true")
        assert failed.startswith(f"{state}/ptoverlay/sandboxes/two")
        assert failed.endswith(f": No space left on device {remedy}")
        tool.sh(f"rm {state}/rest")
        tool.ok("discard", "one")
        assert tool(*words, "echo x >small").status == 0
    finally:
        tool.sh(f"umount {state}")
