"""What a run was asked to do: the overlays, the special places, and the mount options of overlayfs.

`parse_mount_options` reads the ``-o`` form as the kernel does (fs/overlayfs/params.c): options are separated
by commas, directories in lowerdir= by colons, and a backslash takes the meaning from the character after it.

Rules: an option that is not known, or that asks for what is not there, is refused and never ignored; the
classes are plain ones with __slots__, since importing dataclasses costs more than parsing a command line.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from ptoverlay.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Bits of struct pto_overlay.flags and kinds of places, as csrc/ptoverlay.h has them; test_package.py
# compares them.  Repeated here so that a command line can be refused without loading the core.
READ_ONLY = 1
VOLATILE = 2
USERXATTR = 4
TEMPORARY = 8
NO_REDIRECT = 16
METACOPY = 32
TRUST = 64
NUMBERS = 128
BASES = 256
OVERLAY_FLAGS = READ_ONLY | VOLATILE | USERXATTR | TEMPORARY | NO_REDIRECT | METACOPY

DIRECT = 1
PLACE_READ_ONLY = 2
HIDDEN = 3

#: How many steps of a sandbox there can be at most: a view merges no more layers than LOWERS_MAX of csrc/view.
MOST_STEPS = 300
TRAPS = {"auto": 0, "ptrace": 1, "notify": 2}

# Options with a fixed meaning: text -> (bits set, bits cleared).
_FLAGS = {
    "ro": (READ_ONLY, 0),
    "rw": (0, READ_ONLY),
    "volatile": (VOLATILE, 0),
    "userxattr": (USERXATTR, 0),
    "redirect_dir=on": (0, NO_REDIRECT),
    "redirect_dir=follow": (NO_REDIRECT, 0),
    "redirect_dir=off": (NO_REDIRECT, 0),
    "metacopy=on": (METACOPY, 0),
    "metacopy=off": (0, METACOPY),
}
# Known to the kernel, and asking for nothing here: they choose between ways to reach the same view, or
# ask for what the view always does.
_WITHOUT_EFFECT = frozenset((
    "defaults", "index=on", "index=off", "xino=on", "xino=off", "xino=auto", "nfs_export=off", "uuid=on", "uuid=off",
    "uuid=null", "uuid=auto", "verity=off",
))
_DIRECTORIES = ("lowerdir", "upperdir", "workdir", "mount")
_KNOWN = frozenset(("redirect_dir", "index", "xino", "metacopy", "nfs_export", "uuid", "verity"))


class OverlaySpec:
    """One overlay as it was asked for.

    lowers: topmost first, empty: "/"; n_data: how many of them, the last ones, are data-only; upper, work: None when
    not given; image: digest of the image whose layers the lowers are, "" for none; rootfs: it is a root of its
    own, which has the host's places that a system needs (rootfs.py); mount: None for the topmost lower's
    own path; flags: bits as above; temporary_upper: without an upper, one is made for the run and thrown away; made:
    directories that an upper which is made for the run gets at once, as paths from its top with a slash before them;
    copied, linked: files of the host and (path, target) of symlinks that it gets as well; empty: the lower is a new
    empty directory with the attributes of the mount point, gone after the run; above: lowers of its own that a run lays
    upon the others.
    """

    __slots__ = ("above", "copied", "empty", "flags", "image", "linked", "lowers", "made", "mount", "n_data", "rootfs",
                 "temporary_upper", "upper", "work")

    def __init__(self) -> None:
        self.lowers: list[str] = []
        self.above: list[str] = []
        self.n_data = 0
        self.upper: str | None = None
        self.work: str | None = None
        self.mount: str | None = None
        self.flags = 0
        self.image = ""
        self.rootfs = False
        self.temporary_upper = True
        self.made: tuple[str, ...] = ()
        self.copied: tuple[str, ...] = ()
        self.linked: tuple[tuple[str, str], ...] = ()
        self.empty = False

    @property
    def writable(self) -> bool:
        return not self.flags & READ_ONLY and (self.upper is not None or self.temporary_upper)

    def layers(self) -> list[str]:
        return self.lowers or ["/"]

    def read_layers(self) -> list[str]:
        """The lowers as the core is to get them: an upper that may not be changed is one more of them, as in the
        kernel, and then needs no work directory."""
        below = [*self.above, *self.layers()]
        return below if self.writable or self.upper is None else [self.upper, *below]

    def mount_point(self) -> str:
        return self.mount if self.mount is not None else self.layers()[0]


class Request:
    """One run: `overlays` in the order in which they are laid, the first being the one of -l, -u, -w, -m and -o;
    `places`: (kind, path); `binds`: (path of the host, path in the view); `told`: the command as logs have it,
    where that is not argv; `chdir`: None to start where we are; `name`: of the sandbox whose layers are used;
    `keep_steps`: how many of its steps can be undone, None for the default; `report`: file for a page about the
    run; `records`: option → file of what is recorded of it (record/recording.py), `recorder`: what takes that in
    their place; `profile`: name of what a file of settings adds (settings/profile.py); `environment`: NAME=VALUE,
    or NAME, that CMD gets besides ours, or with `clear_environment` besides what it needs, or with
    `bare_environment` alone; `around`: overlays that are laid before the others and are nobody's to keep;
    `features`: PTO_FEATURE_*; `members`: more of struct pto_command; `ending`: is told of the uppers that stay when
    CMD has ended, before anybody looks at them; `fake_root`: CMD sees itself as root; `network`: whether it has
    one; `limit`: bytes that its layers may take, 0 for all; `memory`: those that each process may have, 0 for all;
    `timeout`: seconds, 0 for ever; `timed_out`: whether it was ended by that; `verbose`: -1 quiet, 0, 1 and more."""

    __slots__ = ("argv", "around", "bare_environment", "binds", "chdir", "clear_environment", "ending", "environment",
                 "fake_root", "features", "identity", "image", "inject", "keep_steps", "kill_on_exit", "limit",
                 "members", "memory", "name", "network", "notes", "overlays", "places", "profile", "recorder",
                 "records", "report", "stats", "strict", "timed_out", "timeout", "told", "trace", "trap", "verbose")

    def __init__(self) -> None:
        self.overlays = [OverlaySpec()]
        self.places: list[tuple[int, str]] = []
        self.binds: list[tuple[str, str]] = []
        self.image: str | None = None
        self.identity: tuple[int, int, list[int]] | None = None
        self.bare_environment = False
        self.argv: list[str] = []
        self.told: list[str] = []
        self.chdir: str | None = None
        self.name: str | None = None
        self.keep_steps: int | None = None
        self.profile: str | None = None
        self.environment: list[str] = []
        self.clear_environment = False
        self.around: list[OverlaySpec] = []
        self.members: dict[str, int] = {}
        self.ending: Callable[[list[str]], None] | None = None
        self.features = 0
        self.network = True
        self.fake_root = False
        self.limit = 0
        self.memory = 0
        self.timeout = 0.0
        self.timed_out = False
        self.report: str | None = None
        self.records: dict[str, str] = {}
        self.recorder: Any = None
        self.trap = TRAPS["auto"]
        self.inject = True
        self.kill_on_exit = False
        self.strict = False
        self.trace: str | None = None
        self.stats = False
        self.verbose = 0
        self.notes: list[str] = []


def split_escaped(text: str, separator: str) -> list[str]:
    """Splits at each separator that no backslash precedes; the backslashes stay, for `unescape`."""
    parts, start, i = [], 0, 0
    while i < len(text):
        if text[i] == "\\":
            i += 1
        elif text[i] == separator:
            parts.append(text[start:i])
            start = i + 1
        i += 1
    parts.append(text[start:])
    return parts


def unescape(text: str) -> str:
    """Takes away each backslash that protects the character after it."""
    if "\\" not in text:
        return text
    out, i = [], 0
    while i < len(text):
        if text[i] == "\\" and i + 1 < len(text):
            i += 1
        out.append(text[i])
        i += 1
    return "".join(out)


def escape(text: str, separators: str) -> str:
    """The text as `split_escaped` at these separators, and then `unescape`, read it."""
    return "".join(f"\\{c}" if c == "\\" or c in separators else c for c in text)


def parse_lowers(text: str, what: str) -> tuple[list[str], int]:
    """The directories of ``DIR[:DIR…][::DIR…]``, topmost first, and how many, the last ones, are data-only."""
    parts = split_escaped(text, ":")
    merged = parts.index("") if "" in parts else len(parts)
    data, separators = parts[merged + 1::2], parts[merged::2]
    if merged and all(data) and any(separators):
        raise Failure(what, "a data-only layer ('::') can be followed by data-only ones alone")
    if not merged or not all(data) or len(data) != len(separators):
        raise Failure(what, "an empty directory name", r"\: is a colon in a name")
    return [unescape(part) for part in (*parts[:merged], *data)], len(data)


def lower_words(lowers: list[str], n_data: int) -> str:
    """The argument of --lower that `parse_lowers` reads so."""
    escaped = [escape(path, ":") for path in lowers]
    merged = len(lowers) - n_data
    return ":".join(escaped[:merged]) + "".join(f"::{path}" for path in escaped[merged:])


def words_of(flags: int) -> list[str]:
    """The mount options that say these flags."""
    return [option for option, (on, _) in _FLAGS.items() if on & flags and option != "redirect_dir=follow"]


def parse_mount_options(text: str, overlay: OverlaySpec, what: str, notes: list[str]) -> None:
    """Reads ``OPT[,OPT…]`` into the overlay; what had no effect is told in notes."""
    for option in split_escaped(text, ","):
        if option:
            _mount_option(option, overlay, what, notes)


def parse_overlay_spec(text: str, notes: list[str]) -> OverlaySpec:
    """The overlay of one ``--overlay SPEC``."""
    overlay = OverlaySpec()
    parse_mount_options(text, overlay, "--overlay", notes)
    if not overlay.lowers:
        raise Failure("--overlay", "no lowerdir= in it", "--overlay lowerdir=DIR,upperdir=DIR,mount=DIR")
    return overlay


def _mount_option(option: str, overlay: OverlaySpec, what: str, notes: list[str]) -> None:
    name, equals, value = option.partition("=")
    if option in _FLAGS:
        on, off = _FLAGS[option]
        overlay.flags = overlay.flags & ~off | on
    elif option in _WITHOUT_EFFECT:
        notes.append(f"{what} {option}: accepted, without effect")
    elif name == "lowerdir+" and value:
        if overlay.n_data:
            raise Failure(f"{what} lowerdir+", "comes after a datadir+")
        overlay.lowers.append(unescape(value))
        overlay.temporary_upper = False
    elif name == "datadir+" and value:
        if not overlay.lowers:
            raise Failure(f"{what} datadir+", "comes before any lowerdir+")
        overlay.lowers.append(unescape(value))
        overlay.n_data += 1
    elif name in _DIRECTORIES and (what == "--overlay" or name != "mount"):
        if not value:
            raise Failure(f"{what} {name}", "no directory given", f"{name}=DIR")
        _directory(name, value, overlay, what)
    elif name in _KNOWN and equals:
        raise Failure(f"{what} {option}", "not supported")
    else:
        raise Failure(f"{what} {option}", "no such option", "docs/options.rst lists the mount options")


def _directory(name: str, value: str, overlay: OverlaySpec, what: str) -> None:
    if name == "lowerdir":
        overlay.lowers, overlay.n_data = parse_lowers(value, f"{what} lowerdir")
        # As with mount(8): a lower list without an upperdir is a view that nothing can change.
        overlay.temporary_upper = False
    elif name == "upperdir":
        overlay.upper = unescape(value)
    elif name == "workdir":
        overlay.work = unescape(value)
    else:
        overlay.mount = unescape(value)


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str, what: str) -> int:
    """Bytes of ``512M`` and the like."""
    number, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    if not number.isdecimal() or unit not in _UNITS or not 0 < int(number) * _UNITS[unit] < 1 << 62:
        raise Failure(f"{what} {text}", "a number of bytes is meant, or one with K, M, G or T", f"{what} 2G")
    return int(number) * _UNITS[unit]


def parse_seconds(text: str, what: str) -> float:
    """Seconds of ``90``, ``1.5``, ``10m``, ``2h``."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        seconds = float(text[:-1] if unit else text) * (unit or 1)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e8:
        raise Failure(f"{what} {text}", "a number of seconds is meant, or one with s, m or h", f"{what} 10m")
    return seconds


def check_variable(text: str, what: str) -> str:
    """NAME=VALUE, or NAME."""
    name = text.partition("=")[0]
    if not name or "\0" in text:
        raise Failure(f"{what} {text}", "no name of a variable", f"{what} NAME=VALUE, or {what} NAME")
    return text


def check(request: Request) -> None:
    """Refuses what cannot be meant; costs no system call."""
    main = request.overlays[0]
    if request.name is not None and (main.upper is not None or main.work is not None):
        raise Failure("--name", "it has an upper and a work directory of its own", "leave --upper and --work out")
    if request.name is not None and main.flags & READ_ONLY:
        raise Failure("--name", "a layer that nothing can change is not kept", "leave -o ro out")
    if request.keep_steps is not None and request.name is None:
        raise Failure("--keep-steps", "only a sandbox has steps", "give --name NAME too")
    for overlay in request.overlays:
        if overlay.work is not None and overlay.upper is None and not overlay.flags & READ_ONLY:
            raise Failure("--work", "there is no upper directory that it could belong to", "give --upper DIR too")
        for path in (*overlay.lowers, overlay.upper, overlay.work, overlay.mount):
            if path is not None and (not path or "\0" in path):
                raise Failure("layers", "an empty directory name")
