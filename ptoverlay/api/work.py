"""What became of an overlay's layer: looked at, committed, discarded, shipped, checked.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Literal

from ptoverlay.api.held import HeldLayers, told
from ptoverlay.commit.carry import HOST, Outcome, commit
from ptoverlay.commit.parts import finish_parts
from ptoverlay.errors import Failure
from ptoverlay.history import steps
from ptoverlay.history.fold import flattened
from ptoverlay.history.record import HistoryStep
from ptoverlay.history.states import history_of, step_changes
from ptoverlay.layer import fsck
from ptoverlay.layer.changes import Change, absolute, changes, select
from ptoverlay.layer.discard import discard, discard_all
from ptoverlay.layer.explain import Explanation, explain
from ptoverlay.process import StrPath
from ptoverlay.sandboxes.sandbox import Sandbox
from ptoverlay.shared.asking import checkpoint
from ptoverlay.ship import export, importing
from ptoverlay.ship.image import write_image
from ptoverlay.ship.output import COMPRESSIONS, Archive, compression_of, write_archive

if TYPE_CHECKING:
    from ptoverlay.layer.fsck import Problem
    from ptoverlay.ship.importing import Imported


class Works(HeldLayers):
    """The half of an `Overlay` that works on its layer."""

    def changes(self, paths: Sequence[str] = (), *, content: bool = True) -> list[Change]:
        """What the layer changes, sorted by path; also while a command is running.

        paths: only what is there and below, with wildcards as `ptoverlay diff` has them; content: compare bytes;
        without it a file of the same size and time counts as the same.
        """
        sandbox = self._opened()
        with told(), sandbox.view() as view, sandbox.base() as base:
            found = changes(view, base, sandbox.mount, content=content)
        return select(found, paths, sandbox.mount) if paths else found

    def read(self, path: StrPath) -> bytes:
        """The content of a file of the view.  OSError as open(2)."""
        sandbox = self._opened()
        with sandbox.view() as view:
            return view.read(absolute(os.fspath(path), sandbox.mount))

    def explain(self, path: StrPath) -> Explanation:
        """Which layer a path of the view comes from, and why.

        >>> with Overlay("/usr") as box:
        ...     box.explain("/usr/bin/env").why
        'lower'
        """
        sandbox = self._opened()
        with told(), sandbox.view() as view, sandbox.base() as base:
            return explain(sandbox, view, base, absolute(os.fspath(path), sandbox.mount))

    def commit(self, paths: Sequence[str] = (), *, force: bool = False, trust: bool = False,
               dry_run: bool = False, to: str = HOST, keep: bool = True, merge: bool = False) -> Outcome:
        """Applies changes to the topmost lower, all or those at `paths`, and takes them out of the layer.

        The outcome's `refused` tells what was not committed and why: path → reason.  force: also what the host has
        changed since; trust: also what only this user may set, in a layer that another one has made; to: where a fork
        goes, "host", with what those below it have changed, or its parent's name (one without a name can only go to
        what it was forked from); keep: what is replaced and removed on the host is kept, for `ptoverlay undo
        --host`; merge: in a named sandbox, texts that the host has changed since become what both have made of them.
        Failure when nothing could be done, with everything as it was.

        >>> import pathlib, tempfile
        >>> lower = pathlib.Path(tempfile.mkdtemp())
        >>> with Overlay(lower) as box:
        ...     done = box.run(["sh", "-c", "echo >wanted; echo >unwanted"], cwd=lower, check=True)
        ...     outcome = box.commit(["wanted"])
        >>> (outcome.refused, [path.name for path in lower.iterdir()])
        ({}, ['wanted'])
        """
        with self._lock, told():
            self._insist_where(to)
            if self._named is not None:
                self._idle()
                if not dry_run:
                    finish_parts(self._named)
                return commit(self._named, paths, force=force, trust=trust, dry_run=dry_run, to=to,
                              keep=keep and to == HOST, merge=merge)
            with self._parent_held():
                return commit(self._idle() if dry_run else self._one_layer(), paths, force=force, trust=trust,
                              dry_run=dry_run, keep=keep and self._parent is None, merge=merge)

    def _insist_where(self, to: str) -> None:
        """Failure for a fork without a name that would go elsewhere than is said."""
        if self._named is None and to != (self._parent or HOST):
            remedy = f"to={self._parent!r} commits it there" if self._parent else "leave `to` out"
            raise Failure(f"commit to {to}", "a fork without a name goes to what it was forked from", remedy)

    @contextmanager
    def _parent_held(self) -> Iterator[None]:
        """Nobody else changes the sandbox that a fork without a name goes to."""
        if not self._parent:
            yield
            return
        with Sandbox.open(self._parent).change():
            yield

    def discard(self, paths: Sequence[str] = ()) -> list[Change]:
        """Undoes changes, all or those at `paths`; returns what was undone.  Failure: nothing was undone."""
        with self._lock, told(), self._alone():
            sandbox = self._one_layer()
            if not os.path.isdir(sandbox.upper):
                return []
            with sandbox.view(writable=True) as view, sandbox.base() as base:
                found = changes(view, base, sandbox.mount)
                if paths:
                    return discard(sandbox, view, base, found, select(found, paths, sandbox.mount))
                discard_all(sandbox)
            return found

    # ---- steps, of a named sandbox

    def log(self) -> list[HistoryStep]:
        """What was done in a named sandbox, the newest first: each command that changed something, undone ones too.

        >>> import pathlib, tempfile
        >>> lower = pathlib.Path(tempfile.mkdtemp())
        >>> with Overlay(lower, name="doctest") as box:
        ...     done = box.run("echo one >file", shell=True, cwd=lower, check=True)
        ...     done = box.run("rm file; echo two >other", shell=True, cwd=lower, check=True)
        ...     undone = box.undo()
        ...     [(step.number, step.undone) for step in box.log()]
        [(2, True), (1, False)]
        """
        with self._lock, told():
            return history_of(self._with_steps(running=True)).steps[::-1]

    def step_changes(self, number: int) -> list[Change]:
        """What a step changed, sorted by path."""
        with self._lock, told():
            return step_changes(self._with_steps(running=True), number)

    def undo(self, count: int = 1) -> list[HistoryStep]:
        """Takes the last steps out of the view; returns them, the last one first.  Failure when there are not so many,
        and then nothing is undone."""
        with self._lock, told(), self._alone():
            return self._stepping(steps.undo, count)

    def redo(self, count: int = 1) -> list[HistoryStep]:
        """Brings back what `undo` took; returns the steps, the first one first.  Failure as for `undo`."""
        with self._lock, told(), self._alone():
            return self._stepping(steps.redo, count)

    def checkpoint(self, message: str = "") -> HistoryStep | None:
        """Makes what has changed until now a step, also while commands run; else the last one gets the name.  None:
        nothing was changed."""
        with self._lock, told():
            if self._named is None:
                raise Failure("overlay", "only a sandbox with a name has steps", "give name=")
            return checkpoint(self._named, message)

    def _with_steps(self, *, running: bool = False) -> Sandbox:
        """The named sandbox.  running: also while a command of ours runs in it."""
        if running:
            self._opened()
        else:
            self._idle()
        if self._named is None:
            raise Failure("overlay", "only a sandbox with a name has steps", "give name=")
        return self._named

    def _stepping(self, how: Callable[[Sandbox, int], list[HistoryStep]], count: int) -> list[HistoryStep]:
        if count < 1:
            raise ValueError(f"count: {count} is less than 1")
        return how(self._with_steps(), count)

    # ---- layers on their way elsewhere

    def export(self, path: StrPath, *, format: Literal["oci", "overlayfs"] = "oci",
               compression: Literal["none", "gzip", "zstd"] | None = None, reproducible: bool = False) -> Archive:
        """Writes the layer as an archive, which appears when it is whole; its digest and sizes.

        format: "oci", a layer of a container's image, or "overlayfs", the upper as it is; compression: None: by the end
        of the name (.tar, .tar.gz, .tgz, .tar.zst); reproducible: the same changes give the same bytes
        (SOURCE_DATE_EPOCH).  Failure: the file is as it was.
        """
        name = os.fspath(path)
        how = export.Style.of(format, reproducible=reproducible)
        if compression is not None and compression not in COMPRESSIONS:
            raise ValueError(f"compression: {compression!r} is none of {', '.join(COMPRESSIONS)}")
        with self._lock, told(), flattened(self._idle()) as sandbox, sandbox.view() as view:
            return write_archive(name, compression or compression_of(name),
                                 partial(export.write, sandbox, view, options=how))

    def export_image(self, directory: StrPath, *, tag: str = "latest", reproducible: bool = False) -> str:
        """Writes an image into an OCI image layout, made if it is missing: its manifest's digest.

        It has this layer, on top of those of the sandboxes that a named one was forked from.
        """
        how = export.Style.of("oci", reproducible=reproducible)
        with self._lock, told():
            below = self._named.chain()[:-1] if self._named is not None else []
            return write_image([*below, self._idle()], os.fspath(directory), tag, "gzip", how)

    def import_layer(self, archive: StrPath) -> Imported:
        """Fills the layer, which must be empty, from an archive that `export` wrote, or from a layer of an image.

        Failure: it is not one, or the layer is not empty; the layer is as it was.

        >>> import pathlib, tempfile
        >>> lower, archive = pathlib.Path(tempfile.mkdtemp()), pathlib.Path(tempfile.mkdtemp(), "layer.tar.zst")
        >>> with Overlay(lower) as one, Overlay(lower) as other:
        ...     done = one.run(["mkdir", "made"], cwd=lower, check=True)
        ...     made = one.export(archive)
        ...     imported = other.import_layer(archive)
        ...     [pathlib.Path(change.path).name for change in other.changes()]
        ['made']
        """
        with self._lock, told(), self._alone(goes_on=True):
            if self._named is not None:
                steps.enter(self._named)  # it belongs to no step that was
            sandbox = self._idle()
            return importing.fill(sandbox, importing.sources_of(os.fspath(archive), None))

    def fsck(self, *, repair: bool = False) -> list[Problem]:
        """What the kernel's overlayfs would refuse or misread in the layer; repair: put right what can be.

        >>> with Overlay() as box:
        ...     box.fsck()
        []
        """
        with self._lock, told(), self._alone() if repair else nullcontext():
            sandbox = self._idle()
            return fsck.check(sandbox, repair=repair) if os.path.isdir(sandbox.upper) else []
