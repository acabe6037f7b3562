"""The command line: ``ptoverlay [run] [OPTIONS] [--] CMD [ARG…]``, or ``ptoverlay SUBCOMMAND …``.

A first word that is in `SUBCOMMANDS` is that subcommand (ptoverlay/commands); after ``--`` or ``run`` every word is
CMD's.  The rest of this file is about ``run``: one table holds the options; parsing and the help text come from it.
Parsing is as getopt(3) with a leading "+": the first word that is no option begins CMD, so that CMD's own options are
never ours.

Rules: nothing is imported here that a plain run does not need; a mistake is one line and status 125.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from collections.abc import Callable, Iterator

from ptoverlay import __version__, errors, options
from ptoverlay.options import OverlaySpec, Request

_Apply = Callable[[Request, str], None]
_Words = Iterator[str]


class Option:
    """One row of the table; `argument` is its name in the help, "" for a switch."""

    __slots__ = ("apply", "argument", "help", "long", "short")

    def __init__(self, short: str, long: str, argument: str, help: str, apply: _Apply) -> None:
        self.short = short
        self.long = long
        self.argument = argument
        self.help = help
        self.apply = apply


def _main_overlay(request: Request) -> OverlaySpec:
    return request.overlays[0]


def _lower(request: Request, value: str) -> None:
    overlay = _main_overlay(request)
    overlay.lowers, overlay.n_data = options.parse_lowers(value, "--lower")


def _rootfs(request: Request, value: str) -> None:
    overlay = _main_overlay(request)
    overlay.lowers, overlay.n_data = [value], 0
    overlay.mount = "/"
    overlay.rootfs = True
    if request.chdir is None:
        request.chdir = "/"


def _image(request: Request, value: str) -> None:
    request.image = value
    if request.overlays[0].lowers:
        raise errors.usage("--image", "the image's layers are the lowers", "leave --lower and --rootfs out")


def _bind(request: Request, value: str) -> None:
    from ptoverlay.rootfs import parse_bind

    request.binds.append(parse_bind(value))


def _mount_options(request: Request, value: str) -> None:
    options.parse_mount_options(value, _main_overlay(request), "-o", request.notes)


def _overlay(request: Request, value: str) -> None:
    request.overlays.append(options.parse_overlay_spec(value, request.notes))


def _trap(request: Request, value: str) -> None:
    if value not in options.TRAPS:
        raise errors.usage(f"--trap {value}", f"one of {', '.join(options.TRAPS)} is meant")
    request.trap = options.TRAPS[value]


def _keep_steps(request: Request, value: str) -> None:
    if not value.isdecimal() or not 1 <= int(value) <= options.MOST_STEPS:
        raise errors.usage(f"--keep-steps {value}", f"a number from 1 to {options.MOST_STEPS} is meant")
    request.keep_steps = int(value)


def _environment(request: Request, value: str) -> None:
    request.environment.append(options.check_variable(value, "--env"))


def _limit(request: Request, value: str) -> None:
    request.limit = options.parse_size(value, "--limit")


def _memory(request: Request, value: str) -> None:
    request.memory = options.parse_size(value, "--limit-memory")


def _timeout(request: Request, value: str) -> None:
    request.timeout = options.parse_seconds(value, "--timeout")


def _no_network(request: Request, _value: str) -> None:
    request.network = False


def _verbose(request: Request, _value: str) -> None:
    request.verbose = max(request.verbose, 0) + 1


def _of_overlay(attribute: str) -> _Apply:
    return lambda request, value: setattr(_main_overlay(request), attribute, value)


def _of_request(attribute: str, constant: object = None) -> _Apply:
    return lambda request, value: setattr(request, attribute, value if constant is None else constant)


def _record(option: str) -> _Apply:
    return lambda request, value: request.records.update({option: value})


def _place(kind: int) -> _Apply:
    return lambda request, value: request.places.append((kind, value))


def _help(_request: Request, _value: str) -> None:
    raise Answer(help_text())


def _check(_request: Request, _value: str) -> None:
    raise errors.usage("--check", "it comes first, and without a CMD")


def _version(_request: Request, _value: str) -> None:
    raise Answer(f"ptoverlay {__version__}\n")


class Answer(Exception):
    """The command line asked for a text and nothing else."""


OPTIONS = (
    Option("l", "lower", "DIR[:DIR…]", r"read-only layers, topmost first; \: for a colon in a name (default: /)",
           _lower),
    Option("u", "upper", "DIR", "the writable layer; made if missing (default: temporary, thrown away)",
           _of_overlay("upper")),
    Option("w", "work", "DIR", "scratch on the upper's file system (default: .NAME.work beside the upper)",
           _of_overlay("work")),
    Option("m", "mount", "DIR", "where the view appears (default: the topmost lower's own path)", _of_overlay("mount")),
    Option("o", "", "OPT[,OPT…]", "overlayfs mount options: lowerdir= upperdir= workdir= ro volatile userxattr …",
           _mount_options),
    Option("", "overlay", "SPEC", "one more overlay, in the -o form plus mount=DIR; repeatable", _overlay),
    Option("", "rootfs", "DIR", "run in the root DIR: -l DIR -m / -C /, and /etc/resolv.conf of the host", _rootfs),
    Option("", "image", "LAYOUT[:TAG]", "run in an image of an OCI image layout, as its configuration says", _image),
    Option("", "bind", "HOST[:INSIDE]", "the host's file or directory, to be seen and written at INSIDE; repeatable",
           _bind),
    Option("", "direct", "DIR", "seen and written as on the host; repeatable (always: /proc /sys /dev)",
           _place(options.DIRECT)),
    Option("", "read-only", "DIR", "nothing below it can be changed; repeatable", _place(options.PLACE_READ_ONLY)),
    Option("", "hide", "DIR", "not there in the view; repeatable", _place(options.HIDDEN)),
    Option("", "name", "NAME", "keep the upper layer in the sandbox of this name, and go on from it the next time",
           _of_request("name")),
    Option("", "keep-steps", "N", "with --name: how many of its steps can be undone (default: 50)", _keep_steps),
    Option("", "limit", "SIZE", "what the layer may grow to, e.g. 2G; more is ENOSPC", _limit),
    Option("", "profile", "PROFILE", "what .ptoverlay.toml here or above, or your own settings, call so",
           _of_request("profile")),
    Option("", "env", "NAME[=VALUE]", "a variable of CMD's environment; repeatable", _environment),
    Option("", "clear-env", "", "CMD gets only PATH, HOME, TERM, USER, LANG and the like, and what --env says",
           _of_request("clear_environment", True)),
    Option("0", "fake-root", "", "CMD sees itself as root; owners, devices and set-id bits that it gives are kept",
           _of_request("fake_root", True)),
    Option("", "no-network", "", "no sockets but those of AF_UNIX", _no_network),
    Option("", "limit-memory", "SIZE", "what each process may have of its own, e.g. 2G", _memory),
    Option("", "timeout", "TIME", "end it after so many seconds (10m, 2h), with status 124", _timeout),
    Option("C", "chdir", "DIR", "directory to start in", _of_request("chdir")),
    Option("", "trap", "auto|ptrace|notify", "how system calls are trapped (default: auto)", _trap),
    Option("", "kill-on-exit", "", "end what is still running when CMD ends (default: wait for it)",
           _of_request("kill_on_exit", True)),
    Option("", "strict", "", "a call that cannot be carried out faithfully kills the program, with a reason",
           _of_request("strict", True)),
    Option("", "no-inject", "", "trap each call, also of programs that ask a lot about what is unchanged",
           _of_request("inject", False)),
    Option("", "trace", "FILE", "one line a trapped call, with its verdict; - is standard error", _of_request("trace")),
    Option("", "stats", "", "at the end: calls by name, verdict and time, copy-ups and bytes",
           _of_request("stats", True)),
    Option("", "report", "FILE.html", "write a page about the run: what it changed and where its time went",
           _of_request("report")),
    Option("", "record", "FILE.json", "write down what was read, looked for and executed, and what was made",
           _record("record")),
    Option("", "provenance", "FILE", "the same as an in-toto statement with SLSA provenance", _record("provenance")),
    Option("", "depfile", "FILE", "the files that were read, as a rule for make and ninja", _record("depfile")),
    Option("", "sbom", "FILE", "the packages that they belong to: CycloneDX, or SPDX (.spdx.json)", _record("sbom")),
    Option("v", "verbose", "", "say more", _verbose),
    Option("q", "quiet", "", "no warnings", _of_request("verbose", -1)),
    Option("", "check", "", "alone: what this machine allows, and whether a run will work", _check),
    Option("", "version", "", "print the version", _version),
    Option("h", "help", "", "print this help", _help),
)
# What a first word can be besides a CMD: module of ptoverlay.commands -> its line in the help.
SUBCOMMANDS = {
    "list": "the named sandboxes",
    "shell": "a shell in a sandbox",
    "fork": "a new sandbox that goes on from another one",
    "merge": "bring what a fork has changed to the sandbox that it was forked from",
    "remove": "throw a sandbox away",
    "diff": "what a sandbox has changed",
    "explain": "which layer a path comes from, and why",
    "stats": "what a sandbox holds, and where its last run's time went",
    "log": "the steps of a sandbox: what ran in it, and what that changed",
    "undo": "take the last steps of a sandbox back",
    "redo": "bring back what undo took",
    "restore": "bring back files of a sandbox as they were after a step, or are below",
    "trust": "let a project's settings do what widens a run",
    "checkpoint": "make what has changed in a sandbox a step, also while it runs",
    "discard": "undo changes of a sandbox",
    "commit": "apply changes of a sandbox to what it lies on",
    "try": "run a command, look at what it changed, then keep it or not",
    "build": "run a command so that the same inputs give the same bytes",
    "cached": "run a command, or do again what it did when its inputs were the same",
    "reproduce": "does a command make the same bytes at another place, time, user, locale, …?",
    "serve": "a sandbox for programs, by lines of JSON, or for MCP",
    "export": "write a layer as an archive, or as an image",
    "import": "make a sandbox of a layer in an archive",
    "fsck": "check a layer for what the kernel would refuse or misread",
    "completion": "print what completes words in bash, zsh or fish",
}
_SHORT = {option.short: option for option in OPTIONS if option.short}
_LONG = {option.long: option for option in OPTIONS if option.long}


def parse(words: list[str]) -> Request:
    """The request that these words (without the program's name) make; Failure when they make none."""
    request = Request()
    if words and words[0] == "run":
        words = words[1:]
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        if word.startswith("--"):
            _long(word, rest, request)
        elif word.startswith("-") and word != "-":
            _shorts(word, rest, request)
        else:
            request.argv.append(word)
            break
    request.argv.extend(rest)
    if request.image is not None:
        from ptoverlay.ship.base import apply as apply_image

        apply_image(request)
    if not request.argv:
        raise errors.usage("command line", "no command given")
    if request.profile is not None:
        from ptoverlay.settings.profile import apply

        apply(request)
    options.check(request)
    if request.records:
        from ptoverlay.record.recording import Recording

        request.recorder = Recording(request)
    return request


def takes_next(word: str) -> bool:
    """Whether the word after this one, which begins with "-", is its argument."""
    if word.startswith("--"):
        option = _LONG.get(word[2:])
        return option is not None and bool(option.argument)
    for i, letter in enumerate(word[1:], 2):
        option = _SHORT.get(letter)
        if option is None or option.argument:
            return option is not None and i == len(word)
    return False


def _long(word: str, rest: _Words, request: Request) -> None:
    name, equals, value = word[2:].partition("=")
    option = _LONG.get(name)
    if option is None:
        raise errors.usage(f"--{name}", "no such option", errors.did_you_mean(name, _LONG, "--"))
    if equals and not option.argument:
        raise errors.usage(f"--{name}", "takes no argument")
    option.apply(request, value if equals or not option.argument else _next(f"--{name}", rest))


def _shorts(word: str, rest: _Words, request: Request) -> None:
    for i, letter in enumerate(word[1:], 2):
        option = _SHORT.get(letter)
        if option is None:
            raise errors.usage(f"-{letter}", "no such option")
        if option.argument:
            option.apply(request, word[i:] or _next(f"-{letter}", rest))
            return
        option.apply(request, "")


def _next(name: str, rest: _Words) -> str:
    for word in rest:
        return word
    raise errors.usage(name, "needs an argument")


def help_text() -> str:
    """The text of -h."""
    lines = ["Usage: ptoverlay [run] [OPTIONS] [--] CMD [ARG…]",
             "Run CMD over a merged view: what it changes goes to the upper layer, the lowers stay as they are.", ""]
    for option in OPTIONS:
        short = f"-{option.short}," if option.short and option.long else f"-{option.short}" if option.short else ""
        names = f"  {short:<3} --{option.long}" if option.long else f"  {short:<3}"
        head = f"{names} {option.argument}".rstrip()
        lines.append(f"{head:<29} {option.help}" if len(head) < 29 else f"{head}\n{'':<29} {option.help}")
    lines += ["", "Subcommands (ptoverlay SUBCOMMAND -h tells more; ptoverlay -- CMD runs a CMD of the same name):"]
    lines += [f"  {name:<26}  {text}" for name, text in SUBCOMMANDS.items()]
    lines += ["", "Exit status: CMD's own; 125 own error, 126 CMD found but not executable, 127 CMD not found.",
              "A CMD that a signal ends makes ptoverlay die of the same signal."]
    return "\n".join(lines) + "\n"
