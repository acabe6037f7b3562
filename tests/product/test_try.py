"""try: the questions on a terminal, and what becomes of the changes.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.oracle import USER, Done, Who, run
from support.tool import Terminal, tool_for
from support.trees import Node
from support.world import World

MakeWorld = Callable[[Who, str], World]
QUESTION = "[c,p,d,k,s,v,?] "
SCRIPT = "echo more >>a; rm b; echo new >new"


class Trying:
    """A lower that CMD changes, as an ordinary user with a state directory of his own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lower = world.lowers[0]
        self.env = {**world.env, "XDG_STATE_HOME": str(world.home / "state"), "SHELL": "/bin/sh", "PAGER": "cat"}

    def argv(self, *options: str, script: str = SCRIPT) -> list[str]:
        return tool_for(USER, "try", *options, "-l", str(self.lower), "-C", str(self.lower), "--", "sh", "-c", script)

    def terminal(self, *options: str, script: str = SCRIPT) -> Terminal:
        return Terminal(self.argv(*options, script=script), self.env, self.lower)

    def run(self, *words: str) -> Done:
        return run(tool_for(USER, *words), env=self.env, cwd=self.lower)

    def try_(self, *options: str, script: str = SCRIPT) -> Done:
        return run(self.argv(*options, script=script), env=self.env, cwd=self.lower)

    def sandboxes(self) -> list[str]:
        directory = Path(self.env["XDG_STATE_HOME"], "ptoverlay/sandboxes")
        return sorted(os.listdir(directory)) if directory.exists() else []

    def committed(self) -> bool:
        """Whether the lower is what the script makes of it."""
        shown = {name: (self.lower / name).read_text() for name in os.listdir(self.lower)}
        if shown == {"a": "a\nmore\n", "new": "new\n"}:
            return True
        assert shown == {"a": "a\n", "b": "b\n"}
        return False


@pytest.fixture
def trying(make_world: MakeWorld) -> Iterator[Trying]:
    """A lower with two files."""
    world = make_world(USER, "ptrace")
    world.lay_out([Node("a", content=b"a\n"), Node("b", content=b"b\n")])
    yield Trying(world)
    world.freeze()


def test_shows_and_commits(trying: Trying) -> None:
    terminal = trying.terminal(script=f"{SCRIPT}; exit 3")
    shown = terminal.expect(QUESTION)
    for kind, name in (("modified", "a"), ("removed", "b"), ("added", "new")):
        assert any(kind in line and f"{trying.lower}/{name}" in line for line in shown.splitlines()), shown
    assert not trying.committed()
    terminal.send("c\n")
    assert terminal.end() == 3
    assert trying.committed()
    assert trying.sandboxes() == []


def test_discards(trying: Trying) -> None:
    terminal = trying.terminal()
    terminal.expect(QUESTION)
    terminal.send("d\n")
    assert terminal.end() == 0
    assert not trying.committed()
    assert trying.sandboxes() == []


def test_keeps_under_a_name(trying: Trying) -> None:
    """Asked for until it is one that can be; later it can be committed."""
    terminal = trying.terminal()
    terminal.expect(QUESTION)
    terminal.send("k\n")
    terminal.expect("name [")
    terminal.send("no/name\n")
    terminal.expect("name [")
    terminal.send("mine\n")
    assert terminal.end() == 0
    assert not trying.committed()
    assert trying.sandboxes() == ["mine"]
    assert trying.run("diff", "mine").status == 1
    assert trying.run("commit", "mine").status == 0
    assert trying.committed()


def test_views_and_looks_around_before(trying: Trying) -> None:
    terminal = trying.terminal()
    terminal.expect(QUESTION)
    terminal.send("v\n")
    assert "+more" in terminal.expect(QUESTION)
    terminal.send("x\n")
    assert "throw it away" in terminal.expect(QUESTION)
    terminal.send("s\n")
    terminal.send(f"cat {trying.lower}/new; echo again >>{trying.lower}/new; exit\n")
    shown = terminal.expect(QUESTION)
    assert "new" in shown
    terminal.send("c\n")
    assert terminal.end() == 0
    assert (trying.lower / "new").read_text() == "new\nagain\n"


def test_the_end_of_the_input_keeps(trying: Trying) -> None:
    terminal = trying.terminal()
    terminal.expect(QUESTION)
    terminal.send("\x04")
    assert terminal.end() == 0
    assert not trying.committed()
    assert len(trying.sandboxes()) == 1
    assert "kept" in terminal.text


def test_a_conflict_asks_again(trying: Trying) -> None:
    """What is refused is told, and the rest can still be kept or thrown away."""
    terminal = trying.terminal()
    terminal.expect(QUESTION)
    with (trying.lower / "a").open("a") as file:
        file.write("host\n")
    terminal.send("c\n")
    assert "not committed" in terminal.expect(QUESTION)
    terminal.send("d\n")
    assert terminal.end() == 0
    assert (trying.lower / "a").read_text() == "a\nhost\n"
    assert (trying.lower / "new").read_text() == "new\n"


def test_nothing_changed_asks_nothing(trying: Trying) -> None:
    terminal = trying.terminal(script="cat a")
    assert terminal.end() == 0
    assert "nothing has changed" in terminal.text
    assert trying.sandboxes() == []


@pytest.mark.parametrize(("then", "committed", "left"), [
    ("commit", True, 0), ("discard", False, 0), ("keep", False, 1),
])
def test_without_a_terminal(trying: Trying, then: str, committed: bool, left: int) -> None:
    done = trying.try_("--then", then, script=f"{SCRIPT}; exit 7")
    assert done.status == 7, done.err
    assert trying.committed() is committed
    assert len(trying.sandboxes()) == left


def test_without_a_terminal_and_without_an_answer(trying: Trying) -> None:
    """Refused before CMD runs."""
    done = trying.try_()
    assert done.status == 125
    assert "no terminal" in done.err
    assert not trying.committed()
    assert trying.sandboxes() == []


def test_the_signal_that_ended_cmd(trying: Trying) -> None:
    done = trying.try_("--then", "commit", script=f"{SCRIPT}; kill -TERM $$")
    assert done.status == 128 + 15
    assert trying.committed()


def test_bad_words(trying: Trying) -> None:
    for words in (["--then", "later", "true"], ["--no-such", "true"], [], ["-u", "/tmp/x", "true"]):
        done = trying.run("try", *words)
        assert done.status == 125, words
        assert len(done.err.splitlines()) == 1
    assert trying.run("try", "-h").status == 0
    assert trying.run("try", "--then", "keep", "--", "/no/such").status == 127
    assert trying.sandboxes() == []


@pytest.mark.parametrize("who", ["root", "user"], indirect=True)
def test_over_the_whole_file_system(make_world: MakeWorld, who: Who) -> None:
    """Without any option the layer lies on /."""
    world = make_world(who, "ptrace")
    env = {**world.env, "XDG_STATE_HOME": str(world.home / "state")}
    place = world.home / "place"
    place.mkdir()
    (place / "old").write_text("old\n")
    for path in (place, place / "old"):
        os.chown(path, *world.owner)
    script = f"cd {place}; echo 1 >new; mv old moved; mkdir -p n/m; echo 2 >n/m/2; mv n o"
    done = run(tool_for(who, "try", "--then", "commit", "--", "sh", "-ec", script), env=env, cwd=Path("/"))
    assert (done.status, done.err) == (0, "")
    found = sorted(str(path.relative_to(place)) for path in place.rglob("*"))
    assert found == ["moved", "new", "o", "o/m", "o/m/2"]
    assert not [name for name in os.listdir("/") if name.startswith(".ptoverlay")]


# ---- parts ----

def numbers(**instead: str) -> str:
    """What seq 40 writes, with some lines replaced."""
    return "".join(instead.get(f"n{number}", f"{number}\n") for number in range(1, 41))


@pytest.fixture
def texts(make_world: MakeWorld) -> Iterator[Trying]:
    """A lower with a text of 40 lines."""
    world = make_world(USER, "ptrace")
    world.lay_out([Node("text", content=numbers().encode()), Node("b", content=b"b\n")])
    made = Trying(world)
    made.env["NO_COLOR"] = "1"
    yield made
    world.freeze()


EDIT = """sed -i -e 3s/.*/three/ -e '20s/.*/&\\ntwenty/' -e 38d text
echo more >>b; mkdir new; echo 1 >new/f; ln -s f new/l"""


def test_the_patch_is_shown_before_the_question(texts: Trying) -> None:
    terminal = texts.terminal(script=EDIT)
    shown = terminal.expect(QUESTION)
    for line in ("-3", "+three", "+twenty", "-38", "+more"):
        assert line in shown.splitlines(), shown
    terminal.send("d\n")
    assert terminal.end() == 0
    terminal = texts.terminal(script="seq 300 >many")
    assert "(v shows all differences)" in terminal.expect(QUESTION)
    terminal.send("d\n")
    terminal.end()


def test_parts(texts: Trying) -> None:
    """Hunk by hunk and file by file; what is not taken stays, and can be committed after it."""
    terminal = texts.terminal(script=EDIT)
    terminal.expect(QUESTION)
    terminal.send("p\n")
    answers = {"b": "n", "new": "y", "new/f": "y", "new/l": "n", "text": "y"}
    for path in sorted(answers):
        if path != "text":
            terminal.expect("commit this change? [y,n,q,?] ")
            terminal.send(f"{answers[path]}\n")
    assert "-3" in terminal.expect("(1/3) commit this hunk? [y,n,a,d,q,?] ").splitlines()
    terminal.send("?\n")
    assert "leave it in the layer" in terminal.expect("(1/3) commit this hunk? [y,n,a,d,q,?] ")
    terminal.send("y\n")
    assert "+twenty" in terminal.expect("(2/3) commit this hunk? [y,n,a,d,q,?] ").splitlines()
    terminal.send("n\n")
    terminal.expect("(3/3) commit this hunk? [y,n,a,d,q,?] ")
    terminal.send("y\n")
    left = terminal.expect(QUESTION)
    assert (texts.lower / "text").read_text() == numbers(n3="three\n", n38="")
    assert (texts.lower / "b").read_text() == "b\n"
    assert (os.listdir(texts.lower / "new"), (texts.lower / "new/f").read_text()) == (["f"], "1\n")
    assert [name in left for name in ("/b", "/text", "/new/l", "/new/f")] == [True, True, True, False]
    terminal.send("v\n")
    shown = terminal.expect(QUESTION).splitlines()
    assert [line in shown for line in ("+twenty", "+three", "-38", "+more")] == [True, False, False, True]
    terminal.send("c\n")
    assert terminal.end() == 0, terminal.text
    assert (texts.lower / "text").read_text() == numbers(n3="three\n", n20="20\ntwenty\n", n38="")
    assert (texts.lower / "b").read_text() == "b\nmore\n"
    assert os.readlink(texts.lower / "new/l") == "f"
    assert texts.sandboxes() == []


def test_parts_of_what_the_host_has_changed(texts: Trying) -> None:
    """Refused, and nothing is lost."""
    terminal = texts.terminal(script=EDIT)
    terminal.expect(QUESTION)
    (texts.lower / "text").write_text(numbers(n30="thirty\n"))
    terminal.send("p\n")
    for question, answer in [("this change?", "n")] * 4 + [("(1/4) commit this hunk?", "y"), ("(2/4)", "d")]:
        terminal.expect(question)
        terminal.send(f"{answer}\n")
    assert "on the host since" in terminal.expect(QUESTION)
    terminal.send("k\n")
    terminal.expect("name [")
    terminal.send("mine\n")
    assert terminal.end() == 0
    assert (texts.lower / "text").read_text() == numbers(n30="thirty\n")
    done = texts.run("run", "--name", "mine", "--", "cat", str(texts.lower / "text"))
    assert done.out == numbers(n3="three\n", n20="20\ntwenty\n", n38="")


@pytest.mark.parametrize("at", ["question", "part", "name", "patch"])
def test_ctrl_c_keeps(texts: Trying, at: str) -> None:
    """At any time: what was changed is a sandbox, and the host is as it was."""
    terminal = texts.terminal(script=EDIT)
    terminal.expect(QUESTION)
    if at in ("part", "name"):
        terminal.send({"part": "p\n", "name": "k\n"}[at])
        terminal.expect({"part": "[y,n,q,?] ", "name": "name ["}[at])
    terminal.send("\x03")
    assert terminal.end() == 0
    assert "kept: ptoverlay diff try-" in terminal.text
    assert "Traceback" not in terminal.text
    (name,) = texts.sandboxes()
    assert texts.run("diff", name).out.count("\n") == 5
    assert ((texts.lower / "text").read_text(), (texts.lower / "b").read_text()) == (numbers(), "b\n")
