"""Commit: what a layer changes is done to the lower it lies on, and the layer holds it no more.

    outcome = commit(Sandbox.open("build"), ["src"])
    print(len(outcome.done), outcome.refused)

What happens, in this order: the changes are found and those that the host does not allow are refused, and where none is
left that is all; steps are forgotten, as the layer becomes one; the journal is written; every new object is made beside
its place (`staging`), complete and synced, or, with all that a new directory holds, waits in the upper (`moving`); each
is put in place by one rename (`placing`); what was replaced is removed, attributes and times are set, and what was
committed leaves the upper.  Until the first rename nothing but hidden names of our own is on the host, and any failure
takes these away again.

Rules: killed anywhere, the next commit finishes first what the journal says; a failure loses neither what the host has
nor what the layer has.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field

from ptoverlay import errors
from ptoverlay.commit import choice, kept, moving
from ptoverlay.commit.conflicts import base_of, counting
from ptoverlay.commit.journal import PLACED, PLACING, PREFIX, STAGING, Journal
from ptoverlay.commit.layout import Layout
from ptoverlay.commit.moving import Movable
from ptoverlay.commit.placing import SYNC_ALL, Placing, empty_upper, set_directory_time
from ptoverlay.commit.plan import Plan
from ptoverlay.commit.sharing import Shareable
from ptoverlay.commit.staging import Stager
from ptoverlay.commit.survey import Survey
from ptoverlay.commit.texts import forget_texts, merge_texts
from ptoverlay.commit.tree import Tree, mapped, split
from ptoverlay.console.progress import OBJECT, Advance, Progress, silent
from ptoverlay.errors import Failure
from ptoverlay.history.alone import seen_alone, stand_alone
from ptoverlay.history.fold import BASES, flattened, forget
from ptoverlay.history.record import History
from ptoverlay.layer import private
from ptoverlay.layer.changes import Change, Kind, changes, nowhere, select
from ptoverlay.layer.fsck import insist_sound
from ptoverlay.layer.view import Stat, View
from ptoverlay.options import USERXATTR
from ptoverlay.sandboxes.sandbox import Sandbox

#: Where a fork is committed to that does not go to its parent.
HOST = "host"


@dataclass
class Outcome:
    """What became of the changes.  refused: path of the view → reason; finished: whether an earlier commit that did not
    end was brought to its end first; nowhere: paths that were asked for, but at which nothing is or was; conflicts:
    what of the refused the host has changed since; merged: texts that were made of both sides; pending: of a dry run,
    what finishing it would do, a line each."""

    done: list[Change] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    finished: bool = False
    nowhere: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def pending(work: str) -> bool:
    """Whether a commit of the layer with this work directory was begun and did not end."""
    return os.path.lexists(Journal.path(work))


def commit(sandbox: Sandbox, paths: Sequence[str] = (), *, force: bool = False, dry_run: bool = False,
           trust: bool = False, ask: Callable[[Change], bool] | None = None, progress: Progress = silent,
           to: str = HOST, keep: bool = False, merge: bool = False,
           leave_out: Callable[[list[Change]], list[Change]] | None = None) -> Outcome:
    """Commits the changes that `paths` name (see `changes.select`; none: all) and to which `ask` says yes.

    to: where a fork goes: HOST, with what the sandboxes below it have changed, or the name of its parent;
    leave_out: gives what is left of the changes when what nobody wants was taken out;
    keep: what is replaced and removed is kept, so that it can be taken back (takeback.py);
    merge: texts that the host has changed since become what both have made of them;
    force: also where the host has changed since; trust: what only its maker may not do, in a layer that another user
    has made: owners, set-id bits, capabilities, devices, and what a journal says that he could have written.  Failure
    when nothing could be done, with everything as it was.
    """
    leaves_its_parent(sandbox, to)  # that it cannot go there is told before anything else
    if not dry_run and _has_steps(sandbox) and not pending(sandbox.work):
        ask = None if ask is None else _Once(ask)
        leave_out = None if leave_out is None else _Left(leave_out)
        with sandbox.change():
            looked = _commit(sandbox, paths, ask, silent, leave_out, force=force, dry_run=True, trust=trust, to=to,
                             keep=keep, merge=merge)
        if not looked.done:
            return looked  # the steps stay, and can still be undone and redone
    return _commit(sandbox, paths, ask, progress, leave_out, force=force, dry_run=dry_run, trust=trust, to=to,
                   keep=keep, merge=merge)


def _commit(sandbox: Sandbox, paths: Sequence[str], ask: Callable[[Change], bool] | None, progress: Progress,
            leave_out: Callable[[list[Change]], list[Change]] | None, *, force: bool, dry_run: bool, trust: bool,
            to: str, keep: bool, merge: bool) -> Outcome:
    outcome = Outcome()
    if not (force or trust):
        _insist_owners(sandbox)
    if leaves_its_parent(sandbox, to) and not dry_run:
        with sandbox.change():
            stand_alone(sandbox)
    copied = _one_layer(sandbox, to) if dry_run else None
    if copied is not None:
        with copied as flat, counting(flat.bases):
            return _commit(flat, paths, ask, progress, leave_out, force=force, dry_run=True, trust=trust, to=HOST,
                           keep=False, merge=merge)
    if not os.path.isdir(sandbox.upper):
        sandbox.release()
        return outcome
    sandbox.trusted = trust
    with nullcontext() if dry_run else _held(sandbox), _told(sandbox), Tree(sandbox.lowers[0]) as tree:
        if pending(sandbox.work) and not (dry_run or trust):
            _insist_ours(sandbox)
        if dry_run:
            journal_left = Journal.load(sandbox.work)
            outcome.pending = journal_left.shown() if journal_left is not None else []
        elif pending(sandbox.work):
            outcome.refused.update(_finish(sandbox, tree))
            outcome.finished = True
        elif Journal.path(sandbox.work).parent.exists():
            Journal.remove(sandbox.work)  # killed before the journal was whole, or just after it had gone
        survey, noted = insist_sound(sandbox), _has_notes(sandbox)
        journal = Journal(uuid.uuid4().hex[:12], tree.root, any_owner=force, prefix=_prefix(sandbox), keep=keep,
                          name=sandbox.name or os.path.abspath(sandbox.upper))
        with sandbox.view(writable=not dry_run) as view, sandbox.base() as base:
            with progress(0) as advance:
                found = _find_changes(sandbox, view, base, advance)
            if noted:
                with Tree(sandbox.upper) as upper:
                    survey = Survey.of(upper)
            layout = Layout(sandbox, view, base, tree, journal.prefix, survey, found)
            layout.look()
            outcome.nowhere = nowhere(paths, sandbox.mount, view, base)
            _choose(layout, paths, ask, leave_out)
            if merge and not force:
                layout = _merge(layout, outcome, dry_run)
            maker = 0 if trust else sandbox.maker()
            outcome.refused.update(choice.refuse(layout, force=force, maker=maker))
            outcome.conflicts = layout.conflicts
            outcome.done = list(layout.chosen.values())
            if not dry_run:
                _carry_out(layout, journal, outcome, progress)
    return outcome


def _has_steps(sandbox: Sandbox) -> bool:
    """Whether there is something that a commit forgets."""
    return sandbox.directory is not None and bool(History.load(sandbox.directory).steps)


class _Once:
    """Asks, for each change once."""

    def __init__(self, ask: Callable[[Change], bool]) -> None:
        self._ask = ask
        self._said: dict[str, bool] = {}

    def __call__(self, change: Change) -> bool:
        if change.path not in self._said:
            self._said[change.path] = self._ask(change)
        return self._said[change.path]


class _Left:
    """What is left when something was taken out, which is told once."""

    def __init__(self, leave_out: Callable[[list[Change]], list[Change]]) -> None:
        self._leave_out = leave_out
        self._taken: set[str] | None = None

    def __call__(self, found: list[Change]) -> list[Change]:
        if self._taken is None:
            left = self._leave_out(found)
            self._taken = {change.path for change in found} - {change.path for change in left}
            return left
        return [change for change in found if change.path not in self._taken]


def leaves_its_parent(sandbox: Sandbox, to: str) -> bool:
    """Whether it is a fork that goes to the host; Failure for somewhere that it cannot go."""
    parent = sandbox.metadata.parent
    if to not in (HOST, parent):
        raise Failure(f"--to {to}", f"{sandbox} does not lie on it", f"it lies on {parent or 'the host'}")
    if not parent or to == parent or sandbox.directory is None:
        return False
    if pending(sandbox.work):
        raise Failure(str(sandbox), f"a commit of it to sandbox {parent} was interrupted", f"--to {parent} finishes it")
    return True


def _one_layer(sandbox: Sandbox, to: str) -> AbstractContextManager[Sandbox] | None:
    """For who only reads, the sandbox as one layer; None where it is one."""
    if leaves_its_parent(sandbox, to):
        return seen_alone(sandbox)
    return flattened(sandbox) if sandbox.steps else None


def _insist_owners(sandbox: Sandbox) -> None:
    """Failure for root where a fake root has made what the layer holds: its owners would be lost without a word."""
    maker = sandbox.maker() if os.geteuid() == 0 and os.path.isdir(sandbox.upper) else 0
    if maker and any(map(private.is_faked, [sandbox.upper, *sandbox.steps])):
        raise Failure(str(sandbox), f"a fake root, who is user {maker}, has changed it, and all would be that user's",
                      "--trust gives it the owners, modes and devices that he saw, --force makes it his")


def _insist_ours(sandbox: Sandbox) -> None:
    """Failure for a journal that somebody else can have written: it would do what he says as us."""
    why = Journal.distrust(sandbox.work)
    if why:
        raise Failure(str(sandbox), "a commit of it was interrupted, and others can have written what is left to do "
                      f"({why})", "ptoverlay commit -n shows that, --trust does it")


@contextmanager
def _held(sandbox: Sandbox) -> Iterator[None]:
    """Locks the sandbox, and the one whose upper is to be changed if it lies on one."""
    with ExitStack() as stack:
        stack.enter_context(sandbox.change())
        if sandbox.directory is not None and not pending(sandbox.work):
            forget(sandbox)
        if sandbox.metadata.parent:
            parent = Sandbox.open(sandbox.metadata.parent)
            stack.enter_context(parent.lock())
            others = [name for name in parent.forks() if name != sandbox.name]
            if others:
                raise Failure(str(parent), f"also a lower of {', '.join(others)}", "remove these first")
        yield


@contextmanager
def _told(sandbox: Sandbox) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = str(error.filename) if error.filename is not None else ""
        if PREFIX in name:
            name = "a new object"
        if error.errno in errors.FULL:
            name = f"{name}, and {'the rest waits for the next' if pending(sandbox.work) else 'nothing was committed'}"
        raise errors.from_os_error(f"{sandbox}: commit: {name}".removesuffix(": "), error) from error


def _find_changes(sandbox: Sandbox, view: View, base: View, advance: Advance) -> dict[str, Change]:
    found = changes(view, base, sandbox.mount, strict=True, advance=advance)
    if _join_other_names(sandbox, view, base, found):
        found = changes(view, base, sandbox.mount, strict=True, advance=advance)
    by_path = {change.path: change for change in found}
    root = by_path.get(sandbox.mount)
    if root is not None and {"owner", "group"} & {*root.metadata}:
        del by_path[sandbox.mount]  # an upper that another user has made
    return by_path


def _join_other_names(sandbox: Sandbox, view: View, base: View, found: list[Change]) -> bool:
    """Brings names into the upper that only lowers have, of files that were changed by another name.

    The view looks such a file up when it is asked for the name; which names there are only the lower can tell.
    """
    wanted = _with_other_names(sandbox, view, found)
    if not wanted:
        return False
    later = {change.old_path: change.path for change in found if change.kind is Kind.RENAMED}
    joined = False
    todo = [sandbox.mount]
    while todo:
        here = todo.pop()
        try:
            names = base.list(here)
        except PermissionError:
            continue  # nor could CMD have changed a file by a name in it
        for name in names:
            path = f"{here.rstrip('/')}/{name}"
            status = base.find(path)
            if status is None:
                continue
            if status.is_dir and status.dev == base.stat(here).dev:
                todo.append(path)
            elif status.identity in wanted and view.find(mapped(path, later)) is not None:
                joined = True
    return joined


def _with_other_names(sandbox: Sandbox, view: View, found: list[Change]) -> set[tuple[int, int]]:
    """Identities of files of which lowers may have names that have to follow: what was written has more of them, or
    what is elsewhere now is still one of them."""
    several = len(sandbox.lowers) - sandbox.metadata.n_data > 1
    prefix = _prefix(sandbox)
    wanted: set[tuple[int, int]] = set()
    elsewhere: dict[tuple[int, int], list[str]] = {}
    for change in found:
        new, old = change.new, change.old
        if new is None and old is not None and old.nlink > 1 and _was_copied(sandbox, old):
            wanted.add(old.identity)  # changed by the name that has gone
        if new is None or not new.is_file:
            continue
        if old is not None and old.is_file and old.nlink > 1 and (
                change.content or (several and change.kind is Kind.METADATA)):
            wanted.add(old.identity)
        if new.nlink > 1 and (old is None or old.identity != new.identity):
            elsewhere.setdefault(new.identity, []).append(change.path)
    for identity, paths in elsewhere.items():
        if view.stat(paths[0]).nlink > len(paths) and base_of(view.entry(paths[0]).upper_path, prefix) is not None:
            wanted.add(identity)
    return wanted


def _has_notes(sandbox: Sandbox) -> bool:
    """Whether the view, when it is laid or asked, may change the upper: for what a killed run has left half-done, or to
    bring more names of a file into it."""
    return any(files for top, _, files in os.walk(sandbox.work) if os.path.basename(top) != BASES)


def _was_copied(sandbox: Sandbox, old: Stat) -> bool:
    """Whether the upper has a copy of a lower file with several names (csrc/view/upper/links.c)."""
    return os.path.lexists(os.path.join(sandbox.work, "links", f"{old.dev:x}-{old.ino:x}"))


def _prefix(sandbox: Sandbox) -> str:
    return private.prefix(userxattr=bool(sandbox.flags & USERXATTR))


def _merge(layout: Layout, outcome: Outcome, dry_run: bool) -> Layout:
    """Merges texts; the layout, as it is then."""
    if layout.layer:
        raise Failure("--merge", f"{layout.sandbox} goes to a sandbox", "ptoverlay merge does it")
    texts = merge_texts(layout, choice.conflict, dry_run=dry_run)
    outcome.merged = sorted(texts.hosts)
    if texts.written:
        chosen = set(layout.chosen)
        with Tree(layout.sandbox.upper) as upper:
            survey = Survey.of(upper)
        found = _find_changes(layout.sandbox, layout.view, layout.base, lambda _: None)
        layout = Layout(layout.sandbox, layout.view, layout.base, layout.tree, layout.prefix, survey, found)
        layout.look()
        choice.choose(layout, [change for path, change in layout.changes.items() if path in chosen])
    layout.texts = texts
    return layout


def _choose(layout: Layout, paths: Sequence[str], ask: Callable[[Change], bool] | None,
            leave_out: Callable[[list[Change]], list[Change]] | None) -> None:
    wanted = list(layout.changes.values())
    if paths:
        wanted = select(wanted, paths, layout.sandbox.mount)
    if leave_out is not None:
        wanted = leave_out(wanted)
    if ask is not None:
        wanted = [change for change in wanted if ask(change)]
    choice.choose(layout, wanted)


# ---- doing it


def _carry_out(layout: Layout, journal: Journal, outcome: Outcome, progress: Progress) -> None:
    sandbox, tree = layout.sandbox, layout.tree
    with Tree(sandbox.upper) as upper:
        plan = Plan(layout, journal, outcome.refused.keys(), Movable(layout, upper))
        plan.make()
    if not journal.steps and not journal.drops:
        return
    objects = len(layout.chosen) + len(journal.steps) + len(journal.drops)
    size = sum(change.size for change in layout.chosen.values() if change.content)
    with progress(objects * OBJECT + size) as advance:
        _remember_times(journal, tree)
        if journal.keep:
            _keep(layout, journal)
        try:
            journal.save(sandbox.work)
            _stage(layout, plan, advance)
            journal.phase = PLACING
            journal.save(sandbox.work)
        except BaseException:
            journal.phase = STAGING
            _take_back(journal, tree, sandbox.work)
            raise
        outcome.refused.update(_place_and_finish(sandbox, journal, tree, advance))
    outcome.done = [change for change in outcome.done if change.path not in outcome.refused]


def _remember_times(journal: Journal, tree: Tree) -> None:
    """Of directories in which something is about to be staged, for when it is taken back."""
    for path in {split(step.staged)[0] for step in journal.steps if step.staged}:
        status = tree.lstat(path)
        if status is not None:
            journal.staged_in[path] = status.st_mtime_ns


def _stage(layout: Layout, plan: Plan, advance: Advance) -> None:
    """Makes every new object under its temporary name."""
    files = sum(1 for change in layout.chosen.values() if change.content)
    mark = f"{plan.journal.prefix}opaque" if layout.layer else ""
    stager = Stager(layout.view, layout.tree, layout.wanted, advance=advance, sync=files <= SYNC_ALL,
                    opaque=lambda path: "" if path in layout.skeleton else mark, whiteouts=plan.whiteouts,
                    any_owner=plan.journal.any_owner, whole=lambda path: layout.roots.get(path, False),
                    shareable=Shareable(layout))
    stager.linked.update(layout.linked())
    for step, path in plan.staged:
        with _writing_in(layout.tree, split(step.staged)[0]):
            if path:
                stager.stage(path, step.staged)
            else:
                stager.whiteout(step.staged)
        step.made = layout.tree.identity(step.staged)
    plan.journal.shared += [(layout.relative(path), ino) for path, ino in stager.shared]
    if plan.moved:
        with Tree(layout.sandbox.upper) as upper:
            moving.sync(layout, upper, list(plan.moved), len(plan.moved) > SYNC_ALL)
    with _writing_in(layout.tree, ""):
        _sync_staged(layout.tree, plan, files > SYNC_ALL)


@contextmanager
def _writing_in(tree: Tree, path: str) -> Iterator[None]:
    """Where a full disk is: on the side that is written, whatever the call was about."""
    try:
        yield
    except OSError as error:
        if error.errno in errors.FULL:
            error.filename = os.path.join(tree.root, path).rstrip("/") or "/"
        raise


def _sync_staged(tree: Tree, plan: Plan, everything: bool) -> None:
    directories = {split(step.staged)[0] for step, _ in plan.staged}
    if everything or len(directories) > SYNC_ALL:
        tree.sync_all(directories)
        return
    for directory in directories:
        tree.sync(directory)


def _take_back(journal: Journal, tree: Tree, work: str) -> None:
    """Removes what was staged: nothing has happened."""
    for step in journal.steps:
        if step.staged:
            tree.remove(step.staged)
    for path, mtime in journal.staged_in.items():
        set_directory_time(tree, path, mtime)
    if journal.keep:
        kept.give_up(journal.id)
    if pending(work):
        Journal.remove(work)


def _keep(layout: Layout, journal: Journal) -> None:
    """Makes room for what is replaced, and notes what is going to change in place."""
    try:
        kept.make_room(journal.id)
    except OSError as error:
        if error.errno in errors.FULL:
            raise
        journal.keep = False
        errors.report(f"{kept.commits_directory()}: {error.strerror}: this commit cannot be taken back")
        return
    kept.note(journal, layout.tree, kept.Stamps())


def _finish(sandbox: Sandbox, tree: Tree) -> dict[str, str]:
    """Brings a commit to its end that was killed; returns what it had to leave out."""
    journal = Journal.load(sandbox.work)
    if journal is None:
        return {}
    if journal.lower != tree.root:
        raise Failure(str(sandbox), f"a commit to {journal.lower} was begun and did not end",
                      f"give --lower {journal.lower}")
    if journal.phase == STAGING:
        _take_back(journal, tree, sandbox.work)
        return {}
    with sandbox.view(writable=True):  # nobody else uses the layer meanwhile
        return _place_and_finish(sandbox, journal, tree)


@contextmanager
def _keeping(journal: Journal, tree: Tree) -> Iterator[kept.Keeping | None]:
    if not journal.keep:
        yield None
        return
    kept.make_room(journal.id)  # where somebody else has begun it
    keeping = kept.Keeping(journal.id, tree)
    try:
        yield keeping
    finally:
        keeping.close()


def _place_and_finish(sandbox: Sandbox, journal: Journal, tree: Tree,
                      advance: Advance = lambda _: None) -> dict[str, str]:
    with Tree(sandbox.upper) as upper, _keeping(journal, tree) as keeping, ExitStack() as stack:
        placing = Placing(journal, tree, upper, advance, keeping)
        stack.callback(placing.removal.close)
        if journal.phase == PLACING:
            placing.place()
            placing.sync()
            placing.sync_upper()
            journal.phase = PLACED
            journal.save(sandbox.work)
        placing.clean()
        placing.own()
        placing.set_attributes()
        placing.sync()
        empty_upper(placing, sandbox.work)
        forget_texts(sandbox.work, sandbox.upper)
        if keeping is not None:
            kept.remember(journal, keeping)
    Journal.remove(sandbox.work)
    mount = sandbox.mount.rstrip("/")
    return {f"{mount}/{path}": why for path, why in journal.left_out.items()}


__all__ = ["HOST", "Outcome", "commit", "leaves_its_parent", "pending"]
