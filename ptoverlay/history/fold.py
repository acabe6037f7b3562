"""Layers become one: what the upper one says is carried into the one below it.

As a merge in the words of overlayfs: a name of the upper hides the lower's; directories merge, unless one is opaque; a
directory that was renamed takes along what the lower layer has of it; a redirect names then what the lower layer itself
merged; a whiteout stays where something lies below both.

Rules: this is done to copies that share their files (copy.py), so that whatever happens the layers themselves are as
they were until the history names the new one; no file is written, but the mark that says what it was copied from.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ptoverlay import quota
from ptoverlay.errors import Failure
from ptoverlay.history import steps
from ptoverlay.history.copy import Apart, DirectoryLook, Place, link, link_files, link_tree, opened
from ptoverlay.history.links import PENDING, REMOVED, files
from ptoverlay.history.record import STEPS, History, directories
from ptoverlay.layer import private
from ptoverlay.layer.view import View
from ptoverlay.options import USERXATTR
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Sandbox

#: Below a work directory: texts of the host (commit/texts.py).
BASES = "bases"
_BASE = "ptoverlay.base"
_LEFT = "ptoverlay.left"
#: What a directory says of what it merges is said anew; what the lower one says of where it came from stays.
_ANEW, _OF_LOWER = ("opaque", "redirect"), ("origin", _BASE, private.SINCE, private.COPIED)
#: How many layers more than asked for there may be, so that not every step has to fold.
_SLACK = 12
_LEAST = 3  # steps of which some can become one for their space
Seen = dict[tuple[int, int], str]
Bases = dict[int, bytes | None]
#: Called now and then; what it raises ends the folding, and all is as it was.
GoesOn = Callable[[], None]


def flatten(box: Sandbox) -> None:
    """All steps of the sandbox become one layer, and the log forgets them.  Call it with the sandbox locked."""
    history = steps.settle(box)
    if not box.steps:
        return
    home = _home(box)
    layers = [history.top, *history.below()]
    name = steps.free_name(home, history)
    with _thrown_away_if_it_fails(home, name):
        _fold_layers(box, layers, home / STEPS / name)
        steps.save(box, History([], name, history.next))


def forget(box: Sandbox) -> None:
    """The log forgets all steps, undone ones too: what the one layer holds is to change."""
    flatten(box)
    history = History.load(_home(box))
    if history.steps:
        history = History([], history.top, history.next)
        steps.save(box, history)
    steps.throw_away(box, history)


@contextmanager
def flattened(box: Sandbox) -> Iterator[Sandbox]:
    """The sandbox as one layer, for who only reads: a copy that shares its files, where there are several."""
    if not box.steps:
        yield box
        return
    uppers = [box.upper, *box.steps]
    with flat_copy(box, [(upper, work_of(upper)) for upper in uppers], Path(os.path.dirname(box.upper))) as flat:
        yield flat


@contextmanager
def flat_copy(box: Sandbox, layers: Sequence[tuple[str, str]], home: Path) -> Iterator[Sandbox]:
    """Layers on the lowers of a sandbox as one, for who only reads: a copy in `home` that shares their files."""
    copy = home / f"flat-{os.urandom(6).hex()}"
    try:
        bases: Bases = {}
        fold_directories(box, layers, copy, bases)
        flat = Sandbox(box.metadata, str(copy / "upper"), str(copy / "work"))
        names = (real for top in (flat.upper, f"{flat.work}/links") for real in files(top))
        flat.copied = Counter(os.lstat(real).st_ino for real in names)
        flat.bases = bases
        yield flat
    finally:
        if copy.is_dir():
            remove_tree(str(copy))


def work_of(upper: str) -> str:
    """The work directory of a layer of a named sandbox."""
    return os.path.join(os.path.dirname(upper), "work")


def many_steps(box: Sandbox, keep: int, slack: int = 1) -> bool:
    """Whether there are so many steps that the oldest ones are to become one layer.  slack: how much of it."""
    return len(box.steps) + 1 > keep + slack * min(_SLACK, keep)


def fold_oldest(box: Sandbox, keep: int, goes_on: GoesOn = lambda: None, slack: int = _SLACK) -> None:
    """The oldest steps become one layer, which cannot be undone, so that `keep` others are left, when there are some
    more than that (slack).  Nothing that the core may still have open is removed."""
    history = History.load(_home(box))
    done = history.done
    if len(done) <= keep + min(slack, keep):
        return
    old = done[:len(done) - keep]
    home = _home(box)
    name = steps.free_name(home, history)
    with _thrown_away_if_it_fails(home, name):
        _fold_layers(box, [step.layer for step in reversed(old)], home / STEPS / name, goes_on)
        last = old[-1]
        last.layer = name
        last.folded = sum(1 + step.folded for step in old[:-1])
        history.steps = [step for step in history.steps if step is last or step not in old]
        history.unfolded = ""
        steps.save(box, history)


def fold_for(box: Sandbox, limit: int, goes_on: GoesOn = lambda: None) -> None:
    """The older half of the steps become one layer as long as that gives room and less than a quarter of `limit` bytes
    is free.  Layers that the history does not name any more are removed."""
    before, now = limit + 1, quota.taken([box.upper, *box.steps])
    while limit * 3 // 4 < now < before:
        done = len(History.load(_home(box)).done)
        if done < _LEAST:
            return
        fold_oldest(box, done // 2, goes_on, 0)
        steps.throw_away(box, History.load(_home(box)))
        box.reload()
        before, now = now, quota.taken([box.upper, *box.steps])


def note_unfolded(box: Sandbox, error: OSError | Failure) -> None:
    """Written down for the next command.  Nothing is lost by it."""
    history = History.load(_home(box))
    history.unfolded = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    steps.save(box, history)


def told_unfolded(box: Sandbox) -> str:
    """What is told of it, "" for nothing."""
    why = History.load(_home(box)).unfolded
    what = "its oldest steps could not be made one layer"
    return f"{box}: {what}: {why}: nothing is lost, and the next command tries again" if why else ""


@contextmanager
def _thrown_away_if_it_fails(home: Path, name: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            remove_tree(str(home / STEPS / name))
        raise


def _home(box: Sandbox) -> Path:
    assert box.directory is not None
    return box.directory


def _fold_layers(box: Sandbox, layers: list[str], new: Path, goes_on: GoesOn = lambda: None) -> None:
    fold_directories(box, [directories(_home(box), layer) for layer in layers], new, None, goes_on=goes_on)


def fold_directories(box: Sandbox, layers: Sequence[tuple[str, str]], new: Path, bases: Bases | None,
                     lent: Collection[str] = (), goes_on: GoesOn = lambda: None) -> None:
    """Makes `new` of layers, topmost first: each an upper and a work directory.  bases: gets what files are to say of
    what they were copied from, by inode number; None: they say it themselves then.  lent: uppers that are somebody
    else's, whose files are copied."""
    new.parent.mkdir(0o711, exist_ok=True)
    new.mkdir(0o711)
    seen: Seen = {}
    numbers: dict[tuple[int, int], int] = {}
    prefix = private.prefix(userxattr=bool(box.flags & USERXATTR))
    _copy(layers[-1], new, seen, prefix, lent, numbers, goes_on)
    with box.base() as base:
        for upper, work in reversed(layers[:-1]):
            above = new / "above"
            above.mkdir(0o700)
            here: Seen = {}
            _copy((upper, work), above, here, prefix, lent, numbers, goes_on)
            Fold(box, str(above), str(new), base, seen, bases, prefix, numbers, goes_on).run()
            seen.update((key, path) for key, path in here.items() if key not in seen)
            remove_tree(str(above))


def _copy(layer: tuple[str, str], new: Path, seen: Seen, prefix: str, lent: Collection[str],
          numbers: dict[tuple[int, int], int], goes_on: GoesOn) -> None:
    """One layer.  numbers: gets the inode numbers of copies, by what identifies their originals."""
    upper, work = layer
    put: Place = Apart(prefix, numbers) if upper in lent else link

    def place(old: str, new: str) -> None:
        goes_on()
        put(old, new)

    link_tree(upper, str(new / "upper"), seen, prefix, place)
    if upper in lent:
        with opened(str(new / "upper"), 0o200):
            os.setxattr(new / "upper", prefix + private.COPIED, b"y")
    (new / "work").mkdir(0o755)
    for name in ("links", "index", BASES):
        link_files(os.path.join(work, name), str(new / "work" / name), {}, prefix, place)


@dataclass
class Fold:
    """One layer into the one below it.  above, below: directories with upper and work of each; base: the view of what
    lies below both; seen: what the layers below hold; bases: of _fold_directories(); numbers: of _copy().

    Paths are relative to the tops of the layers, "" is the top.  place: of a directory of the upper, the path of the
    lower layer's view that it merges; under: of a directory, the path below both layers that it merges; None: nothing.
    """

    box: Sandbox
    above: str
    below: str
    base: View
    seen: Seen
    bases: Bases | None
    prefix: str
    numbers: dict[tuple[int, int], int]
    goes_on: GoesOn
    claims: dict[str, str] = field(default_factory=dict)  # by the upper's path of a renamed directory, its place
    ways: set[str] = field(default_factory=set)  # the directories above these
    stashed: dict[str, str] = field(default_factory=dict)  # by place, where the lower's directory is meanwhile
    unders: dict[str, str | None] = field(default_factory=dict)  # by place
    count: int = 0

    def run(self) -> None:
        self.upper, self.lower = f"{self.above}/upper", f"{self.below}/upper"
        self.trash = f"{self.above}/trash"
        os.mkdir(self.trash, 0o700)
        self.find_claims()
        for place in sorted(set(self.claims.values()), key=lambda place: -place.count("/")):
            self.stash(place)
        self.merge(self.upper, self.lower, "", "")
        Links(self).run()
        self.texts()

    def texts(self) -> None:
        """What is kept of texts of the host (csrc/view/upper/base.c): the upper's took them later."""
        above, below = f"{self.above}/work/{BASES}", f"{self.below}/work/{BASES}"
        if os.path.isdir(above):
            os.makedirs(below, 0o700, exist_ok=True)
            for name in os.listdir(above):
                os.rename(f"{above}/{name}", f"{below}/{name}")

    # ---- renamed directories ----

    def find_claims(self) -> None:
        """Finds the directories that were renamed, and what the lower layer has of them."""
        todo: list[tuple[str, str, str | None]] = [(self.upper, "", "")]
        while todo:
            real, path, place = todo.pop()
            with opened(real), os.scandir(real) as entries:
                found = [(entry.path, entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
            for child, name in found:
                where = _join(path, name)
                at = self.child_place(child, name, place)
                if self.mark(child, "redirect") is not None and at is not None:
                    if at in self.claims.values():
                        raise Failure(str(self.box), f"its layer is broken: {where}: merges what another one does",
                                      "ptoverlay fsck tells all")
                    self.claims[where] = at
                    self.unders[at] = self.under(at)
                    self.ways.update(_above(where))
                todo.append((child, where, at))

    def child_place(self, child: str, name: str, place: str | None) -> str | None:
        if self.mark(child, "opaque") == b"y":
            return None
        redirect = self.mark(child, "redirect")
        if redirect is None:
            return None if place is None else _join(place, name)
        return _redirected(redirect, place)

    def under(self, place: str) -> str | None:
        """What a directory of the lower layer's view merges below that layer."""
        here, under = self.lower, ""
        names = place.split("/")
        for at, name in enumerate(names):
            here = f"{here}/{name}"
            kind = _kind(here)
            if not kind:
                return _join(under, "/".join(names[at:]))
            if kind != stat.S_IFDIR:
                return None
            below = self.under_child(here, name, under)
            if below is None:
                return self.under_opaque(here, names[at + 1:])
            under = below
        return under

    def under_opaque(self, here: str, names: list[str]) -> str | None:
        """The same from an opaque directory on: only a redirect leads out of it."""
        under: str | None = None
        for at, name in enumerate(names):
            here = f"{here}/{name}"
            if _kind(here) != stat.S_IFDIR:
                return None if under is None or _kind(here) else _join(under, "/".join(names[at:]))
            under = self.under_child(here, name, under)
        return under

    def under_child(self, real: str, name: str, under: str | None) -> str | None:
        """What a directory of the lower layer merges, in one that merges `under`."""
        if self.mark(real, "opaque") == b"y":
            return None
        redirect = self.mark(real, "redirect")
        if redirect is None:
            return None if under is None else _join(under, name)
        return _redirected(redirect, under)

    def stash(self, place: str) -> None:
        real = f"{self.lower}/{place}"
        if _kind(real) == stat.S_IFDIR:
            self.stashed[place] = self.throw(real)

    def throw(self, real: str) -> str:
        """Moves something out of the way."""
        self.count += 1
        new = f"{self.trash}/{self.count}"
        _move(real, new)
        return new

    # ---- merging ----

    def merge(self, upper: str, lower: str, path: str, under: str | None) -> None:
        """A directory of the upper, with all that is in it, into the lower layer's.  path: of the upper's; under: what
        the lower's merges.  Their depth is that of the layer."""
        todo = [(upper, lower, path, under)]
        done = []
        while todo:
            upper, lower, path, under = todo.pop()
            attributes = self.attributes(upper, lower)
            done.append((attributes, lower))
            with opened(upper), opened(lower):
                with os.scandir(upper) as entries:
                    names = sorted(entry.name for entry in entries)
                for name in names:
                    more = self.child(f"{upper}/{name}", f"{lower}/{name}", _join(path, name), name, under)
                    if more is not None:
                        todo.append(more)
        for attributes, lower in reversed(done):
            attributes.give(lower)
            attributes.give_times(lower)

    def attributes(self, upper: str, lower: str) -> DirectoryLook:
        """What a merged directory gets: the upper's, but what the lower's says of what it merges."""
        new, old = DirectoryLook.of(upper), DirectoryLook.of(lower)
        for mark in (*_ANEW, *_OF_LOWER):
            name = self.prefix + mark
            if mark == "opaque" and new.xattrs.get(name) == b"x" and name not in old.xattrs:
                continue
            new.xattrs.pop(name, None)
            if name in old.xattrs:
                new.xattrs[name] = old.xattrs[name]
        return new

    def child(self, upper: str, lower: str, path: str, name: str,
              under: str | None) -> tuple[str, str, str, str | None] | None:
        """One name; returns the directories that are to be merged next."""
        self.goes_on()
        kind, there = _kind(upper), _kind(lower)
        if kind == stat.S_IFDIR:
            return self.directory(upper, lower, path, name, under)
        if kind == WHITEOUT and there == WHITEOUT:
            return None
        trashed = self.throw(lower) if there else None
        if kind != WHITEOUT:
            self.new_base(upper, trashed)
            _move(upper, lower)
        elif under is not None and self.is_below(_join(under, name)):
            _move(upper, lower)
        return None

    def directory(self, upper: str, lower: str, path: str, name: str,
                  under: str | None) -> tuple[str, str, str, str | None] | None:
        there = _kind(lower)
        natural = None if under is None else _join(under, name)
        place = self.claims.get(path)
        opaque = self.mark(upper, "opaque") == b"y"
        if place is None and not opaque and there == stat.S_IFDIR:
            return upper, lower, path, self.under_child(lower, name, under)
        if there:
            self.throw(lower)
        if place is not None:
            merges = self.unders[place]
            stashed = self.stashed.pop(place, None)
        else:
            merges, stashed = (None if opaque or there else natural), None
        if stashed is not None:
            _move(stashed, lower)
            self.say(lower, merges, natural)
            return upper, lower, path, merges
        _move(upper, lower)
        self.say(lower, merges, natural)
        self.inside(lower, path, merges)
        return None

    def say(self, real: str, merges: str | None, natural: str | None) -> None:
        """Marks a directory as one that merges this, where without a mark it would merge `natural`."""
        with opened(real):
            for mark in _ANEW:
                if self.mark(real, mark) is not None and not (mark == "opaque" and self.mark(real, mark) == b"x"):
                    os.removexattr(real, self.prefix + mark)
            if merges is None and natural is not None:
                os.setxattr(real, self.prefix + "opaque", b"y")
            elif merges is not None and merges != natural:
                os.setxattr(real, self.prefix + "redirect", os.fsencode(f"/{merges}"))

    def inside(self, real: str, path: str, under: str | None) -> None:
        """What is below a directory of the upper that has come into the lower layer as it is: renamed directories there
        are still those of the lower layer's view."""
        if path not in self.ways:
            return
        with opened(real), os.scandir(real) as entries:
            found = [(entry.path, entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
        for child, name in found:
            where = _join(path, name)
            if where in self.claims:
                with opened(real):
                    aside = self.throw(child)
                    more = self.directory(aside, child, where, name, under)
                if more is not None:
                    self.merge(*more)
            else:
                opaque = self.mark(child, "opaque") == b"y"
                self.inside(child, where, None if opaque or under is None else _join(under, name))

    def is_below(self, under: str) -> bool:
        try:
            return self.base.find(f"{self.box.mount.rstrip('/')}/{under}") is not None
        except OSError:
            return True

    def mark(self, real: str, name: str) -> bytes | None:
        try:
            return os.getxattr(real, self.prefix + name, follow_symlinks=False)
        except OSError:
            return None

    # ---- what a file was copied from ----

    def new_base(self, upper: str, replaced: str | None) -> None:
        """A file that was copied up from the lower layer is a copy of what that one was copied from, if of anything."""
        text = self.mark(upper, _BASE)
        if text is None:
            return
        device, inode = text.split(b":")[:2]
        key = int(device, 16), int(inode)
        was, number = self.seen.get(key), self.numbers.get(key, key[1])
        if was is None:
            return
        for path in (replaced, was):
            status = _lstat(path) if path is not None else None
            if path is not None and status is not None and status.st_ino == number:
                old = self.mark(path, _BASE)
                break
        else:
            old = self.find_base(number)
        if self.bases is not None:
            self.bases[os.lstat(upper).st_ino] = self.bases.get(number, old)
            return
        with opened(upper, 0o200):
            if old is None:
                os.removexattr(upper, self.prefix + _BASE)
            else:
                os.setxattr(upper, self.prefix + _BASE, old)

    def find_base(self, number: int) -> bytes | None:
        """The mark of a file of the lower layer, wherever it was moved to."""
        for top in (self.trash, self.lower):
            for real in files(top):
                status = _lstat(real)
                if status is not None and status.st_ino == number:
                    return self.mark(real, _BASE)
        return None


@dataclass
class Links:
    """Files of several names: what the work directories know of them (csrc/view/upper/links.c)."""

    fold: Fold

    def run(self) -> None:
        self.above, self.below = f"{self.fold.above}/work/links", f"{self.fold.below}/work/links"
        if not os.path.isdir(self.above):
            return
        if not os.path.isdir(self.below):
            os.mkdir(self.below, 0o700)
        for name in sorted(os.listdir(self.above)):
            if not name.endswith(PENDING):
                self.one(name)

    def one(self, name: str) -> None:
        device, _, number = name.removesuffix(REMOVED).partition("-")
        key = int(device, 16), int(number, 16)
        source, target = f"{self.above}/{name}", f"{self.below}/{name}"
        if name.endswith(REMOVED):  # what the lower one says is counted in it; names that only that one had are gone
            if key not in self.fold.seen:
                os.rename(source, target)
        elif key in self.fold.seen:
            self.rejoin(source, self.fold.numbers.get(key, key[1]))
        else:
            os.rename(source, target)

    def rejoin(self, copy: str, number: int) -> None:
        """Names that only the lower layer has of a file that was copied up become links of the copy."""
        for top in (self.fold.lower, self.below):
            for real in list(files(top)):
                status = _lstat(real)
                if status is not None and status.st_ino == number:
                    left = self.fold.mark(real, _LEFT)
                    os.unlink(real)
                    os.link(copy, real, follow_symlinks=False)
                    if left is not None and self.fold.bases is None:
                        os.setxattr(real, self.fold.prefix + _LEFT, left)


#: The kind of a whiteout.
WHITEOUT = -1


def _kind(path: str) -> int:
    """File type of what a layer has, WHITEOUT, or 0 for nothing."""
    status = _lstat(path)
    if status is None:
        return 0
    if stat.S_ISCHR(status.st_mode) and not status.st_rdev:
        return WHITEOUT
    if stat.S_ISREG(status.st_mode) and not status.st_size:
        for prefix in (private.USER, private.TRUSTED):
            with suppress(OSError):
                os.getxattr(path, f"{prefix}whiteout", follow_symlinks=False)
                return WHITEOUT
    return stat.S_IFMT(status.st_mode)


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _move(old: str, new: str) -> None:
    """A directory that its owner may not write cannot go to another one."""
    mode = os.lstat(old).st_mode
    locked = stat.S_ISDIR(mode) and mode & 0o700 != 0o700 and os.geteuid()
    if locked:
        os.chmod(old, stat.S_IMODE(mode) | 0o700)
    os.rename(old, new)
    if locked:
        os.chmod(new, stat.S_IMODE(mode))


def _redirected(redirect: bytes, parent: str | None) -> str | None:
    """The path that a redirect names."""
    text = os.fsdecode(redirect)
    if text.startswith("/"):
        return text[1:]
    return None if parent is None else _join(parent, text)


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _above(path: str) -> Iterator[str]:
    """The directories above a path, and the top."""
    while path:
        path = path.rpartition("/")[0]
        yield path
