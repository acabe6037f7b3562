"""Run CMD over a layer of its own, show what it has changed, and ask what is to become of that.

OPTIONS are those of run, without --upper and --work. The questions are: commit (apply it to what is below), parts (file
by file and hunk by hunk, as git add -p), discard, keep (as a sandbox with a name), shell (look around in it), view (the
differences). An end of the input keeps, and so does Ctrl-C.

Exit status: CMD's; 125 trouble, or what was asked for could not be done, and then the changes are kept as a sandbox.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from ptoverlay import cli, errors
from ptoverlay.commands.commit import show_refused
from ptoverlay.commands.diff import line, lines_of, patch_lines
from ptoverlay.commands.words import first
from ptoverlay.commit.carry import commit
from ptoverlay.commit.parts import commit_parts, divisible, finish_parts
from ptoverlay.console.progress import bar
from ptoverlay.console.question import ask
from ptoverlay.console.terminal import Painter, write
from ptoverlay.errors import Failure
from ptoverlay.layer.changes import Change, changes
from ptoverlay.layer.patch import Hunk, Patch
from ptoverlay.layer.view import View
from ptoverlay.options import Request
from ptoverlay.process import plain_command
from ptoverlay.run import die_of
from ptoverlay.run import run as run_request
from ptoverlay.sandboxes.keeper import Keeper
from ptoverlay.sandboxes.named import sandbox_of
from ptoverlay.sandboxes.names import check_name
from ptoverlay.sandboxes.sandbox import Sandbox, state_directory
from ptoverlay.settings.ignore import Ignore

_ACTIONS = ("ask", "commit", "discard", "keep")
_QUESTION = "commit, parts, discard, keep, shell or view? [c,p,d,k,s,v,?] "
_HELP = """c  apply all of it to what is below, and forget the layer
p  choose what of it is applied, file by file and hunk by hunk
d  throw it away
k  keep it as a sandbox
s  a shell in it
v  the differences
"""
_PARTS = {"y": "commit it", "n": "leave it in the layer", "a": "this hunk and all that follow in the file",
          "d": "neither this hunk nor those that follow in the file", "q": "nothing more: what was chosen is committed"}
_MOST_LINES = 200  # of differences that are shown before the question


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [--then ACTION] [--no-ignore] [OPTIONS of run] [--] CMD [ARG…]"
    parser.add_argument("--then", choices=_ACTIONS, default="ask",
                        help="what to do at the end, where nobody can be asked")
    parser.add_argument("--no-ignore", action="store_true", help="also what the ignore list leaves out")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


parse = first


def run(options: argparse.Namespace) -> int:
    request = cli.parse(options.words)
    main = request.overlays[0]
    if main.upper is not None or main.work is not None:
        raise Failure("try", "it makes a layer of its own", "leave --upper and --work out, or give --name NAME")
    if options.then == "ask" and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failure("try", "there is no terminal to ask on", "give --then commit, --then discard or --then keep")
    named, ignore = request.name is not None, Ignore() if options.no_ignore else Ignore.of_settings()
    if request.name is None:
        request.name = time.strftime(f"try-%Y%m%d-%H%M%S-{os.getpid()}")
    status = _run(request)
    review = Review(Sandbox.open(request.name), named, ignore, ["--no-ignore"] * options.no_ignore)
    if options.then != "ask":
        done = review.act(options.then)
        ignore.tell()
    else:
        done = review.until_done()
    if not done:
        return errors.OWN_ERROR
    return die_of(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _run(request: Request) -> int:
    """Runs CMD; its wait status."""
    assert request.name is not None
    with sandbox_of(request.name, request.overlays[0]) as box:
        record = Keeper(request, box, None)
        record.begin()
        request.overlays[0] = box.overlay()
        return run_request(request, record)[0]


class Questions:
    """Asks for one change after the other, and for the pieces of one, as git add -p does.  whole: paths that are
    wanted; partly: of other files the pieces; answer: to a question, None at the end of the input."""

    def __init__(self, box: Sandbox, view: View, paint: Painter, answer: Callable[[str], str | None]) -> None:
        self.whole: list[str] = []
        self.partly: dict[str, list[Hunk]] = {}
        self._box = box
        self._view = view
        self._paint = paint
        self._answer = answer
        self._over = False

    def ask(self, patch: Patch) -> None:
        """For one change."""
        if self._over or patch.change.implied:
            return
        head, *pieces = self._texts(patch)
        self._show(head)
        if not divisible(self._box, patch):
            for piece in pieces:
                self._show(piece)
            if self._wanted("this change", "") == "y":
                self.whole.append(patch.change.path)
            return
        chosen = self._pieces(patch, pieces)
        if len(chosen) == len(patch.hunks):
            self.whole.append(patch.change.path)
        elif chosen:
            self.partly[patch.change.path] = chosen

    def _pieces(self, patch: Patch, texts: list[list[tuple[str, bytes]]]) -> list[Hunk]:
        chosen, rest = [], ""
        for number, (hunk, text) in enumerate(zip(patch.hunks, texts, strict=True), 1):
            if not rest:
                self._show(text)
                word = self._wanted("this hunk", f"({number}/{len(texts)}) ", "ad")
                rest = {"a": "y", "d": "n", "q": "n"}.get(word, "")
                word = rest or word
            else:
                word = rest
            if word == "y":
                chosen.append(hunk)
        return chosen

    def _wanted(self, what: str, where: str, more: str = "") -> str:
        letters = ",".join(f"yn{more}q?")
        while True:
            answer = self._answer(f"{where}commit {what}? [{letters}] ")
            word = "q" if answer is None else answer[:1]
            if word and word in f"yn{more}q":
                self._over = word == "q"
                return word
            write("".join(f"{letter}  {_PARTS[letter]}\n" for letter in f"yn{more}q"))

    def _texts(self, patch: Patch) -> list[list[tuple[str, bytes]]]:
        """Its lines: the head, and those of each piece."""
        texts: list[list[tuple[str, bytes]]] = [[]]
        for colour, text in lines_of(patch, self._view):
            if text.startswith(b"@@"):
                texts.append([])
            texts[-1].append((colour, text))
        return texts

    def _show(self, lines: list[tuple[str, bytes]]) -> None:
        sys.stdout.flush()
        for colour, text in lines:
            sys.stdout.buffer.write(self._paint.bytes(colour, text))


class Review:
    """What becomes of the changes of a sandbox.  named: it was there under a name that somebody chose, and stays;
    options: of diff."""

    def __init__(self, box: Sandbox, named: bool, ignore: Ignore, options: list[str]) -> None:
        self.box = box
        self.named = named
        self.paint = Painter()
        self.ignore = ignore
        self.options = options

    def show(self) -> int:
        """Prints the changes; how many there are."""
        self.ignore.count = 0
        with self.box.view() as view, self.box.base() as base:
            found = self.wanted(changes(view, base, self.box.mount))
            write("".join(f"{line(change, view, self.paint)}\n" for change in found))
        self.ignore.tell()
        return len(found)

    def wanted(self, found: list[Change]) -> list[Change]:
        """What the ignore list does not name."""
        return self.ignore.without(found, (), self.box.mount)

    def until_done(self) -> bool:
        """`ask`, which Ctrl-C ends at any time; then all is kept that is not committed yet."""
        try:
            return self.ask()
        except KeyboardInterrupt:
            write("\n")
            return self.keep("")

    def ask(self) -> bool:
        """Shows and asks until something was done; False when it could not be done."""
        if not self.show():
            write("nothing has changed\n")
            return (self.named and self.ignore.count > 0) or self.act("discard")
        self.show_patch()
        while True:
            word = self.answer(_QUESTION).lower()[:1]
            if word == "c" and self.act("commit"):
                return True
            if word == "d":
                return self.act("discard")
            if word in ("k", ""):
                return self.keep(self.answer(f"name [{self.box.name}] ") if word and not self.named else "")
            if word == "p" and self.parts():
                return (self.named and self.ignore.count > 0) or self.act("discard")
            if word == "s":
                self.shell()
                self.show()
            elif word == "v":
                self.view()
            elif word not in ("c", "p"):
                write(_HELP)

    def show_patch(self) -> None:
        """The differences, as far as they can be read at once."""
        with self.box.view() as view, self.box.base() as base:
            found = self.wanted(changes(view, base, self.box.mount, expand=True))
            shown = 0
            for of_one in patch_lines(found, view, base, self.box.mount):
                lines = list(of_one)
                shown += len(lines)
                if shown > _MOST_LINES:
                    write(self.paint("dim", "… (v shows all differences)\n"))
                    return
                for colour, text in lines:
                    sys.stdout.buffer.write(self.paint.bytes(colour, text))

    def parts(self) -> bool:
        """Asks for each part and commits what is wanted; whether nothing is left then."""
        with self.box.view() as view, self.box.base() as base:
            found = self.wanted(changes(view, base, self.box.mount))
            asking = Questions(self.box, view, self.paint, self.line)
            for patch in (Patch(change, view, base, self.box.mount) for change in found):
                asking.ask(patch)
        if asking.whole or asking.partly:
            show_refused(commit_parts(self.box, asking.whole, asking.partly))
        self.box = Sandbox.open(self.box.name)
        return not self.show()

    def line(self, question: str) -> str | None:
        """A line from the terminal; None at the end of the input."""
        text = ask(question)
        return text if text is None else text.lower()

    def answer(self, question: str) -> str:
        """One line from the terminal, "" at the end of the input."""
        while True:
            text = ask(question)
            if text is None:
                write("\n")
                return ""
            if text or question != _QUESTION:
                return text

    def act(self, action: str) -> bool:
        """Does it; False when not all of it could be done, and then the sandbox is kept."""
        if action == "commit":
            finish_parts(self.box)
            outcome = commit(self.box, progress=partial(bar, "commit"), keep=True,
                             leave_out=self.wanted)
            show_refused(outcome)
            if outcome.refused:
                errors.report(f"the rest is kept: sandbox {self.box.name}")
                return False
        if action == "keep":
            return self.keep("")
        if action == "discard" and self.named:
            from ptoverlay.layer.discard import discard_all

            with self.box.change(), self.box.view(writable=True):
                discard_all(self.box)
        elif not self.named:
            with self.box.lock():
                self.box.remove()
        return True

    def keep(self, name: str) -> bool:
        """Gives the sandbox its name."""
        while name:
            try:
                self.rename(check_name(name))
                break
            except Failure as failure:
                errors.report(str(failure))
                name = self.answer(f"name [{self.box.name}] ")
        write(f"kept: ptoverlay diff {self.box.name}, ptoverlay commit {self.box.name}, "
              f"ptoverlay remove {self.box.name}\n")
        return True

    def rename(self, name: str) -> None:
        with self.box.lock():
            assert self.box.directory is not None
            target = state_directory() / name
            if target.exists():
                raise Failure(f"sandbox {name}", "there is one of this name already", "give another name")
            self.box.directory.rename(target)
            self.box.metadata.name = name
            self.box.metadata.save(target / "sandbox.json")
        self.box = Sandbox.open(name)

    # ---- other programs

    def shell(self) -> None:
        subprocess.run(plain_command(["shell", self.box.name]), check=False)

    def view(self) -> None:
        """The differences, by $PAGER or less(1) if there is one."""
        pager = os.environ.get("PAGER") or shutil.which("less")
        colour = "always" if self.paint.active else "never"
        diff = subprocess.Popen(plain_command(["diff", "-p", *self.options, "--color", colour, self.box.name]),
                                stdout=subprocess.PIPE if pager else None)
        if pager:
            subprocess.run(pager, shell=True, stdin=diff.stdout, check=False,
                           env={**os.environ, "LESS": os.environ.get("LESS", "FRX")})
            assert diff.stdout is not None
            diff.stdout.close()
        diff.wait()
