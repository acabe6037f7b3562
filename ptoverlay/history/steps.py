"""How steps come and go: a run begins and ends one, `undo` takes the last ones out of the view, `redo` brings them
back.

Call all of it with the sandbox locked (`Sandbox.change`).

Rules: every change is one new history.json; what it does not name is thrown away after it; a layer that another one
lies on is never written.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from ptoverlay import errors, options
from ptoverlay.errors import Failure
from ptoverlay.history import links
from ptoverlay.history.record import (
    BEFORE,
    CHECKPOINT,
    FILE,
    MERGE,
    STEPS,
    WHOLE,
    History,
    HistoryStep,
    directories,
    is_empty,
)
from ptoverlay.layer.changes import any_change
from ptoverlay.layer.view import View
from ptoverlay.layers import copy_attributes
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Run, Sandbox
from ptoverlay.sandboxes.state import write_with_room

#: Steps that can be undone, where nobody says otherwise.
KEEP = 50
_OLD = 3600.0  # seconds
_FIRST = 16  # names
_ROOM = 1024  # bytes of history.json


def settle(box: Sandbox) -> History:
    """The history, with what is left over from somebody who was killed put in order: a step that changed nothing is
    none, and what was changed without one is one."""
    home = _home(box)
    history = History.load(home)
    box.reload()
    if os.path.lexists(os.path.join(box.work, "commit", "journal")):
        raise Failure(str(box), "a commit of it was interrupted", "ptoverlay commit finishes it")
    step = history.open_step()
    if step is not None:
        if not step.ended and step.kind in WHOLE:
            _forget_layer(box, history)
        elif not step.ended and step.kind != BEFORE and not changed(box):
            drop_open(box, history)
        elif any(undone.number < step.number for undone in history.undone):
            history.steps = history.done
            save(box, history)
    elif not is_empty(box.upper) and changed(box):
        last = box.metadata.last_run or Run()
        append(history, HistoryStep(0, history.top, BEFORE, last.argv, last.cwd, last.started, last.ended,
                                     last.status))
        save(box, history)
    throw_away(box, history)
    links.join(box)
    return history


def begin(box: Sandbox, step: HistoryStep) -> History:
    """A step begins: its layer is the upper now.  Where that one cannot lie below others it goes on in it."""
    history = settle(box)
    last = history.open_step()
    if last is not None and not can_be_below(box):
        return history
    try:
        if last is not None:
            history.top = new_layer(box, history)
        step.layer = history.top
        append(history, step, keep_undone=True)
        save(box, history)
    except OSError as error:
        if error.errno not in errors.FULL:
            raise
        box.reload()  # a run may be what frees some: what it changes is told with the step before it
        return History.load(_home(box))
    return history


def can_be_below(box: Sandbox) -> bool:
    """Whether other layers can lie on the upper: not where a file may have its data in the layer below, nor where it
    stands for names of a file that nobody knows."""
    return not box.flags & options.METACOPY and not links.are_left(box)


def enter(box: Sandbox) -> None:
    """What is changed from now on belongs to no step that was."""
    history = settle(box)
    if history.open_step() is not None and can_be_below(box):
        history.top = new_layer(box, history)
        save(box, history)


def finish(box: Sandbox, status: int | None) -> None:
    """The step that `begin` began has ended; one that changed nothing never was.  Nothing that the core may still have
    open is removed."""
    home = _home(box)
    history = History.load(home)
    step = history.open_step()
    if step is None:
        return
    if not changed(box):
        drop_open(box, history)
        return
    step.ended, step.status = time.time(), status
    history.steps = history.done
    save(box, history)


@contextmanager
def step_of(box: Sandbox, step: HistoryStep) -> Iterator[None]:
    """A step that we make ourselves; whatever fails in it leaves the sandbox as it was."""
    history = begin(box, step)
    made = history.open_step()
    if step.kind == MERGE and (made is None or made.number != step.number):
        raise Failure(str(box), "there is no room for a step", "ptoverlay list shows what sandboxes take")
    try:
        yield
    except BaseException:
        if made is not None and made.number == step.number:
            _forget_layer(box, history)
        raise
    finish(box, 0)


def undo(box: Sandbox, count: int) -> list[HistoryStep]:
    """Takes the last steps out of the view; returns them, the last one first."""
    history = settle(box)
    able = [step for step in history.done if not step.folded]
    if count > len(able):
        raise Failure(str(box), _there_are(len(able), "undo"), "ptoverlay log shows them")
    gone = able[len(able) - count:]
    for step in gone:
        step.undone = True
    last = history.last
    history.top = last.layer if last is not None else new_layer(box, history)
    save(box, history)
    throw_away(box, history)
    return gone[::-1]


def redo(box: Sandbox, count: int) -> list[HistoryStep]:
    """Brings back what `undo` took out; returns the steps, the first one first."""
    history = settle(box)
    able = history.undone
    if count > len(able):
        raise Failure(str(box), _there_are(len(able), "redo"), "ptoverlay log shows them")
    back = able[:count]
    for step in back:
        step.undone = False
    history.top = back[-1].layer
    save(box, history)
    throw_away(box, history)
    return back


def checkpoint(box: Sandbox, message: str, *, only_new: bool = False) -> HistoryStep | None:
    """What was changed since the last step is one, called `message`; else the last step is called so.  None where there
    is neither, or where `only_new` would do."""
    history = settle(box)
    step = history.last
    if step is None or (only_new and step.kind != BEFORE):
        return None
    if step.kind == BEFORE and not step.message:
        step.kind = CHECKPOINT
    step.message = message or step.message
    save(box, history)
    return step


def _there_are(count: int, what: str) -> str:
    if not count:
        return f"there is no step to {what}"
    return f"there is only one step to {what}" if count == 1 else f"there are only {count} steps to {what}"


# ---- layers ----


def save(box: Sandbox, history: History) -> None:
    """Puts the history in the place of the old one."""
    write_with_room(_home(box) / FILE, history.text(), _ROOM, sync=False)
    box.reload()


def changed(box: Sandbox) -> bool:
    """Whether the upper changes anything of what it lies on."""
    if is_empty(box.upper) and not _has_attributes(box):
        return False
    with box.view() as view, below(box) as base:
        view.steps = 0
        return _shows_at_once(box, view, base) or any_change(view, base, box.mount)


def _shows_at_once(box: Sandbox, view: View, base: View) -> bool:
    """Whether one of the first names in the layer is that of something new, or gone: the rest need not be read then."""
    try:
        for real in islice(links.files(box.upper), _FIRST):
            path = box.mount.rstrip("/") + real[len(box.upper):]
            new, old = view.find(path), base.find(path)
            if (new is None) != (old is None) or (new is not None and old is not None and new.size != old.size):
                return True
    except OSError:
        pass  # any_change tells
    return False


@contextmanager
def below(box: Sandbox) -> Iterator[View]:
    """The view of what the upper lies on."""
    piece = box.pieces()[0]
    with piece.base() as base:
        yield base


def new_layer(box: Sandbox, history: History) -> str:
    """Makes an empty layer that no history names yet; its top is what the view's top is."""
    home = _home(box)
    name = free_name(home, history)
    upper, work = directories(home, name)
    (home / STEPS).mkdir(0o711, exist_ok=True)
    os.mkdir(os.path.dirname(upper), 0o711)
    os.mkdir(upper, 0o700)
    os.mkdir(work, 0o755)
    old = box.upper if os.path.isdir(box.upper) else None
    copy_attributes(old or box.lowers[0], upper)
    if old is not None:
        _copy_own(old, upper)
        links.carry(box.work, work)
    return name


def free_name(home: Path, history: History) -> str:
    """One that no layer has."""
    number = history.next
    taken = {step.layer for step in history.steps} | {history.top}
    for tries in range(1_000_000):
        name = f"{number}-{tries}" if tries else str(number)
        if name not in taken and not (home / STEPS / name).exists():
            return name
    raise Failure(str(home), "there is no name left for a layer")


def _copy_own(old: str, new: str) -> None:
    """What the top of a layer shows and is not its own."""
    for name in os.listxattr(old):
        if name.endswith(".overlay.ptoverlay.kept") or not name.startswith(("user.overlay.", "trusted.overlay.")):
            os.setxattr(new, name, os.getxattr(old, name))
    status = os.stat(old)
    os.chmod(new, status.st_mode & 0o7777)
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))


def _has_attributes(box: Sandbox) -> bool:
    """Whether the top of the layer itself can have been changed."""
    try:
        upper = os.stat(box.upper)
        lower = os.stat(box.stack[0])
    except FileNotFoundError:
        return False
    return (upper.st_mode, upper.st_uid, upper.st_gid) != (lower.st_mode, lower.st_uid, lower.st_gid)


def drop_open(box: Sandbox, history: History) -> None:
    """Forgets the step whose layer is written, which changed nothing: the one below goes on."""
    step = history.open_step()
    assert step is not None
    take_out(history, step)
    last = history.last
    if last is not None:
        history.top = last.layer
    save(box, history)


def take_out(history: History, step: HistoryStep) -> None:
    """A step that never was: the next one gets its number."""
    history.steps.remove(step)
    if step.number == history.next - 1:
        history.next = step.number


def _forget_layer(box: Sandbox, history: History) -> None:
    """Takes a step back, with what it has changed by now."""
    step = history.open_step()
    assert step is not None
    take_out(history, step)
    last = history.last
    history.top = last.layer if last is not None else new_layer(box, history)
    save(box, history)
    throw_away(box, history)


def append(history: History, step: HistoryStep, *, keep_undone: bool = False) -> None:
    """Adds a step behind those that the view has.  keep_undone: whether it changes anything is not yet known."""
    step.number = history.next
    history.next += 1
    undone = history.undone if keep_undone else []
    history.steps = [*history.done, step, *undone]


def throw_away(box: Sandbox, history: History) -> None:
    """Removes the layers that the history does not name, and copies that nobody can be reading any more."""
    home = _home(box)
    for copy in (*home.glob("flat-*"), *home.glob(f"{STEPS}/*/flat-*")):
        if time.time() - copy.stat().st_mtime > _OLD:
            remove_tree(str(copy))
    named = {step.layer for step in history.steps} | {history.top}
    try:
        there = os.listdir(home / STEPS)
    except FileNotFoundError:
        return
    gone = [name for name in there if name not in named]
    lent = lent_layers(box) if gone or "" not in named else set()
    for name in gone:
        if directories(home, name)[0] not in lent:
            remove_tree(str(home / STEPS / name))
    if "" not in named and directories(home, "")[0] not in lent:
        for path in directories(home, ""):
            if os.path.isdir(path):
                remove_tree(path)


def lent_layers(box: Sandbox) -> set[str]:
    """Lowers of all other sandboxes."""
    return {lower for other in Sandbox.all() if other.name != box.name for lower in other.lowers}


def _home(box: Sandbox) -> Path:
    assert box.directory is not None
    return box.directory
