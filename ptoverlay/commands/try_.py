"""Run CMD over a layer of its own, show what it has changed, and ask what is to become of that.

OPTIONS are those of run, without --upper and --work. The questions are: commit (apply it to what is below), discard,
keep (as a sandbox with a name), shell (look around in it), view (the differences). An end of the input keeps.

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
from functools import partial

from ptoverlay import cli, errors
from ptoverlay.commands.commit import show_refused
from ptoverlay.commands.diff import line
from ptoverlay.commit.carry import commit
from ptoverlay.console.progress import bar
from ptoverlay.console.terminal import Painter, write
from ptoverlay.errors import Failure
from ptoverlay.layer.changes import changes
from ptoverlay.options import Request
from ptoverlay.run import die_of
from ptoverlay.run import run as run_request
from ptoverlay.sandboxes.keep import Keeper, sandbox_of
from ptoverlay.sandboxes.sandbox import Sandbox, check_name, state_directory

_ACTIONS = ("ask", "commit", "discard", "keep")
_QUESTION = "commit, discard, keep, shell or view? [c,d,k,s,v,?] "
_HELP = """c  apply all of it to what is below, and forget the layer
d  throw it away
k  keep it as a sandbox
s  a shell in it
v  the differences
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [--then ACTION] [OPTIONS of run] [--] CMD [ARG…]"
    parser.add_argument("--then", choices=_ACTIONS, default="ask",
                        help="what to do at the end, where nobody can be asked")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


def parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Our own options stand before those of run."""
    own = []
    while words and (words[0] in ("-h", "--help", "--then") or words[0].startswith("--then=")):
        count = 2 if words[0] == "--then" else 1
        own += words[:count]
        words = words[count:]
    options = parser.parse_args(own)
    options.words = words
    return options


def run(options: argparse.Namespace) -> int:
    request = cli.parse(options.words)
    main = request.overlays[0]
    if main.upper is not None or main.work is not None:
        raise Failure("try", "it makes a layer of its own", "leave --upper and --work out, or give --name NAME")
    if options.then == "ask" and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failure("try", "there is no terminal to ask on", "give --then commit, --then discard or --then keep")
    named = request.name is not None
    if request.name is None:
        request.name = time.strftime(f"try-%Y%m%d-%H%M%S-{os.getpid()}")
    status = _run(request)
    review = Review(Sandbox.open(request.name), named)
    done = review.act(options.then) if options.then != "ask" else review.ask()
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


class Review:
    """What becomes of the changes of a sandbox.  named: it was there under a name that somebody chose, and stays."""

    def __init__(self, box: Sandbox, named: bool) -> None:
        self.box = box
        self.named = named
        self.paint = Painter()

    def show(self) -> int:
        """Prints the changes; how many there are."""
        with self.box.view() as view, self.box.base() as base:
            found = changes(view, base, self.box.mount)
            write("".join(f"{line(change, view, self.paint)}\n" for change in found))
        return len(found)

    def ask(self) -> bool:
        """Shows and asks until something was done; False when it could not be done."""
        if not self.show():
            write("nothing has changed\n")
            return self.act("discard")
        while True:
            word = self.answer(_QUESTION).lower()[:1]
            if word == "c" and self.act("commit"):
                return True
            if word == "d":
                return self.act("discard")
            if word in ("k", ""):
                return self.keep(self.answer(f"name [{self.box.name}] ") if word and not self.named else "")
            if word == "s":
                self.shell()
                self.show()
            elif word == "v":
                self.view()
            elif word != "c":
                write(_HELP)

    def answer(self, question: str) -> str:
        """One line from the terminal, "" at the end of the input."""
        while True:
            write(question)
            sys.stdout.flush()
            try:
                text = sys.stdin.readline()
            except KeyboardInterrupt:
                text = ""
            if not text:
                write("\n")
                return ""
            if text.strip() or question != _QUESTION:
                return text.strip()

    def act(self, action: str) -> bool:
        """Does it; False when not all of it could be done, and then the sandbox is kept."""
        if action == "commit":
            outcome = commit(self.box, progress=partial(bar, "commit"))
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

    def command(self, *words: str) -> list[str]:
        """ptoverlay itself, in a process of its own."""
        return [sys.executable, "-P", "-c", "import sys; from ptoverlay.__main__ import main; sys.exit(main())", *words]

    def shell(self) -> None:
        subprocess.run(self.command("shell", self.box.name), check=False)

    def view(self) -> None:
        """The differences, by $PAGER or less(1) if there is one."""
        pager = os.environ.get("PAGER") or shutil.which("less")
        colour = "always" if self.paint.active else "never"
        diff = subprocess.Popen(self.command("diff", "-p", "--color", colour, self.box.name),
                                stdout=subprocess.PIPE if pager else None)
        if pager:
            subprocess.run(pager, shell=True, stdin=diff.stdout, check=False,
                           env={**os.environ, "LESS": os.environ.get("LESS", "FRX")})
            assert diff.stdout is not None
            diff.stdout.close()
        diff.wait()
