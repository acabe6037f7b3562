"""The command ptoverlay, which does plain runs without Python, beside Python's own way through the same lines.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY, command, front
from support.trees import tree

from ptoverlay import cli

pytestmark = pytest.mark.quick

LIMIT = 60  # seconds
WORK = "ls; cat f; echo new >new; rm d/g; mkdir -p e/f; ln -s new s; chmod 600 f; ls -ld . d f new s"
# Command lines, in a directory with a tree "lower", a layer "upper" that was used, and what is lower's beside it.
LINES: dict[str, str] = {
    "plain": "-l lower -C lower -- sh -c WORK",
    "joined": "--lower=lower --chdir=lower --trap=ptrace -- sh -c WORK",
    "run": "run -l lower -C lower sh -c WORK",
    "no dashes": "-l lower -C lower sh -c WORK",
    "an upper": "-l lower -u upper -C lower -- sh -c WORK",
    "an upper that is new": "-l lower -u fresh -C lower -- sh -c WORK",
    "an upper by its whole name": "-l lower -u HERE/upper -C lower -- sh -c WORK",
    "an upper that is a file": "-l lower -u lower/f -C lower -- sh -c WORK",
    "a work directory": "-l lower -u other -w fresh -C lower -- sh -c WORK",
    "a work directory that is empty": "-l lower -u other -w state -C lower -- sh -c WORK",
    "a work directory that stays empty": "-l lower -u other -w HERE/state -C lower -- nonexistent-command",
    "a work directory alone": "-l lower -w state -C lower -- sh -c WORK",
    "a work directory in the upper": "-l lower -u other -w other/work -C lower -- sh -c WORK",
    "mounted elsewhere": "-l lower -m other -C other -- sh -c WORK",
    "places": "-l lower --hide lower/d --read-only lower/e --direct lower/h -C lower -- sh -c WORK",
    "a hidden place that is not there": "-l lower --hide lower/none -C lower -- sh -c WORK",
    "status": "-l lower -- sh -c 'exit 7'",
    "signal": "-l lower -- sh -c 'kill -USR1 $$'",
    "not found": "-l lower -- nonexistent-command",
    "not executable": "-l lower -- lower/f",
    "no directory": "-l lower -C lower/none -- true",
    "not a directory": "-l lower/f -- true",
    "no lower": "-l none -- true",
    "no mount point": "-l lower -m none -- true",
    "empty": "-l '' -- true",
    "no command": "-l lower --",
    "nothing": "",
    "no value": "-l",
    "no such option": "-l lower --no-such-option -- true",
    "a value too many": "--strict=yes -l lower -- true",
    "a wrong trap": "--trap strace -- true",
    "letters together": "-qv -l lower -- true",
    "two lowers": "-l lower:other -C lower -- sh -c WORK",
    "no second lower": "-l lower: -C lower -- sh -c WORK",
    "subcommand": "list --json",
    "a command named as a subcommand": "-- list",
    "quiet": "-q -l lower --hide lower/none -- sh -c 'exit 3'",
    "strict": "--strict -l lower -C lower -- sh -c WORK",
    "version": "--version",
    "by number": "-l lower -C lower -- sh -c 'head -c 3 <f; exec 3<f; echo changed >f; cat <&3'",
}


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str
    left: list[str]
    tree: object


def split(line: str, here: Path) -> list[str]:
    return [WORK if word == "WORK" else word.replace("HERE", str(here)) for word in shlex.split(line)]


def lay_out(here: Path) -> None:
    for name in ("lower/d", "lower/e", "lower/h", "other", "upper", "tmp", "state"):
        (here / name).mkdir(parents=True)
    (here / "lower/f").write_text("old\n")
    (here / "lower/d/g").write_text("g\n")
    (here / "other/f").write_text("other\n")
    (here / "lower").chmod(0o750)
    for path in (here / "lower", here / "lower/d", here / "lower/e", here / "lower/h", here / "other"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    environment = {**os.environ, "TMPDIR": str(here / "tmp")}
    made = subprocess.run([*command(), "-l", str(here / "lower"), "-u", str(here / "upper"), "--", "true"],
                          env=environment, check=False, capture_output=True)
    assert made.returncode == 0, made.stderr


def outcome(argv: list[str], here: Path, **environment: str) -> Outcome:
    before = tree(here / "lower")
    done = subprocess.run(argv, cwd=here, capture_output=True, text=True, timeout=LIMIT, check=False,
                          env={**os.environ, "TMPDIR": str(here / "tmp"), "XDG_STATE_HOME": str(here / "state"),
                               **environment})
    direct = "--direct" in argv
    assert direct or tree(here / "lower") == before
    names = sorted(str(path.relative_to(here)) for path in here.rglob("*"))
    files = {name: (here / name).read_bytes() for name in names if (here / name).is_file() and "#" not in name}
    out, err = (re.sub(r"\d\d:\d\d\b", "TIME", text.replace(str(here), "HERE")) for text in (done.stdout, done.stderr))
    return Outcome(done.returncode, out, err, names, files)


@pytest.mark.parametrize("name", LINES)
def test_it_is_what_python_does(tmp_path: Path, name: str) -> None:
    outcomes: list[Outcome] = []
    for argv in (front(), command()):
        here = tmp_path / f"by{len(outcomes)}"
        here.mkdir()
        lay_out(here)
        outcomes.append(outcome([*argv, *split(LINES[name], here)], here))
    assert outcomes[0] == outcomes[1]
    assert not any(left.startswith("tmp/") for left in outcomes[0].left)


@pytest.mark.parametrize(("name", "plain"), [("plain", True), ("run", True), ("an upper", True), ("places", True),
                                             ("a work directory that is empty", True), ("two lowers", True),
                                             ("status", True), ("not found", False), ("subcommand", False)])
def test_plain_runs_are_done_without_python(tmp_path: Path, name: str, plain: bool) -> None:
    lay_out(tmp_path)
    done = outcome([*front(), *split(LINES[name], tmp_path)], tmp_path, PYTHONHOME="/nonexistent")
    assert ("Fatal Python error" not in done.err) == plain, done.err
    assert not any(left.startswith("tmp/") for left in done.left)


def test_a_command_that_ran_is_never_run_again(tmp_path: Path) -> None:
    lay_out(tmp_path)
    words = ["-l", "lower", "--direct", "lower/h", "--", "sh", "-c", "echo ran >>lower/h/ran; kill -KILL $$"]
    assert outcome([*front(), *words], tmp_path).status == -9
    assert (tmp_path / "lower/h/ran").read_text() == "ran\n"


@pytest.mark.parametrize("argv", [front(), command()], ids=["command", "python"])
def test_signals_are_as_natively(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """What the caller has blocked or ignored stays so; what Python ignores itself is not known any more."""
    lay_out(tmp_path)
    given = ["env", "--block-signal=USR1,TERM", "--ignore-signal=USR2,HUP"]
    given += ["--ignore-signal=PIPE"] if argv == front() else ["--default-signal=PIPE,XFSZ"]
    shown = ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]
    natively = outcome([*given, *shown], tmp_path)
    assert "0000000000004200" in natively.out
    assert outcome([*given, *argv, "-l", "lower", "--", *shown], tmp_path) == natively


def test_a_run_inside_a_run(tmp_path: Path) -> None:
    lay_out(tmp_path)
    inner = f"{front()[0]} -l lower -C lower -- sh -c 'echo inner >f; cat f'; cat lower/f"
    done = outcome([*front(), "-l", "lower", "-l", "/", "--", "sh", "-c", inner], tmp_path)
    assert (done.status, done.out, done.err) == (0, "inner\nold\n", "")


def test_options_are_those_of_the_command_line() -> None:
    text = (ROOT_DIRECTORY / "csrc/front/words.c").read_text()
    rows = re.findall(r'\{"([a-z-]+)", \'(.|\\0)\', (true|false),', text)
    known = {option.long: (option.short or "\\0", "true" if option.argument else "false") for option in cli.OPTIONS}
    assert len(rows) > 8
    assert {name: (letter, argument) for name, letter, argument in rows} == {name: known[name] for name, _, _ in rows}
