"""What a run was asked to do: the overlays, the special places, and the mount options of overlayfs.

`parse_mount_options` reads the ``-o`` form as the kernel does (fs/overlayfs/params.c): options are separated
by commas, directories in lowerdir= by colons, and a backslash takes the meaning from the character after it.

Rules: an option that is not known, or that asks for what is not there, is refused and never ignored; the
classes are plain ones with __slots__, since importing dataclasses costs more than parsing a command line.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from ptoverlay.errors import Failure

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
    not given; mount: None for the topmost lower's own path; flags: bits as above; temporary_upper: without an
    upper, one is made for the run and thrown away.
    """

    __slots__ = ("flags", "lowers", "mount", "n_data", "temporary_upper", "upper", "work")

    def __init__(self) -> None:
        self.lowers: list[str] = []
        self.n_data = 0
        self.upper: str | None = None
        self.work: str | None = None
        self.mount: str | None = None
        self.flags = 0
        self.temporary_upper = True

    @property
    def writable(self) -> bool:
        return not self.flags & READ_ONLY and (self.upper is not None or self.temporary_upper)

    def layers(self) -> list[str]:
        return self.lowers or ["/"]

    def read_layers(self) -> list[str]:
        """The lowers as the core is to get them: an upper that may not be changed is one more of them, as in the
        kernel, and then needs no work directory."""
        below = self.layers()
        return below if self.writable or self.upper is None else [self.upper, *below]

    def mount_point(self) -> str:
        return self.mount if self.mount is not None else self.layers()[0]


class Request:
    """One run: `overlays` in the order in which they are laid, the first being the one of -l, -u, -w, -m and -o;
    `places`: (kind, path); `chdir`: None to start where we are; `name`: of the sandbox whose layers are used;
    `keep_steps`: how many of its steps can be undone, None for the default; `report`: file for a page about the run;
    `verbose`: -1 quiet, 0, 1 and more."""

    __slots__ = ("argv", "chdir", "inject", "keep_steps", "kill_on_exit", "name", "notes", "overlays", "places",
                 "report", "stats", "strict", "trace", "trap", "verbose")

    def __init__(self) -> None:
        self.overlays = [OverlaySpec()]
        self.places: list[tuple[int, str]] = []
        self.argv: list[str] = []
        self.chdir: str | None = None
        self.name: str | None = None
        self.keep_steps: int | None = None
        self.report: str | None = None
        self.trap = TRAPS["auto"]
        self.inject = False
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
    escaped = [path.replace("\\", "\\\\").replace(":", "\\:") for path in lowers]
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
