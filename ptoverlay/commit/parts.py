"""Commit of a part of what a layer changes: some changes whole, of some files a part of their differences.

Whole changes are committed as ever.  A file of which a part is wanted is made in a layer of its own, over the same
lowers, and that layer is committed; then the file of the sandbox is replaced, by one rename, by a copy of itself, which
lies on what the host has now.  What was killed in between is finished by the next commit (`finish_parts`).

Rules: the sandbox's own file is never less than all that was changed, so that whoever is killed loses nothing; what the
host has changed since is refused as by any commit.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ptoverlay.commit.carry import Outcome, commit, pending
from ptoverlay.history.copy import copy_between
from ptoverlay.history.steps import settle
from ptoverlay.layer.changes import Kind
from ptoverlay.layer.patch import Hunk, Patch, joined
from ptoverlay.layer.view import View
from ptoverlay.layers import copy_attributes
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Sandbox

_FOLDER = "parts"  # below the sandbox's directory
_NOTES = "parts.json"  # by path: digest of what the host is to have, name of the copy


def divisible(box: Sandbox, patch: Patch) -> bool:
    """Whether a part of a change can be committed without the rest: of a text that both have under one name."""
    change = patch.change
    return (change.kind is Kind.MODIFIED and not change.type_changed and change.new is not None and change.new.is_file
            and change.new.nlink == 1 and change.old_path in (None, change.path) and len(patch.hunks) > 1
            and box.directory is not None and not box.metadata.parent)


def commit_parts(box: Sandbox, whole: Sequence[str], partly: Mapping[str, Sequence[Hunk]]) -> Outcome:
    """Commits the changes at the paths of `whole`, and these pieces of the files of `partly`."""
    finish_parts(box)
    outcome = Outcome()
    if whole:
        wanted = frozenset(whole)
        outcome = commit(box, ask=lambda change: change.path in wanted, keep=True)
    if partly:
        _commit_pieces(box, dict(partly), outcome)
    return outcome


def _commit_pieces(box: Sandbox, partly: dict[str, Sequence[Hunk]], outcome: Outcome) -> None:
    refused = commit(box, dry_run=True, ask=lambda change: change.path in partly).refused
    for path in refused.keys() & partly.keys():
        outcome.refused[path] = refused[path]
        del partly[path]
    if not partly:
        return
    assert box.directory is not None
    with box.change():
        settle(box)
        folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}-", dir=box.directory))
        try:
            made = _made(box, folder, partly)
            done = commit(made, ask=lambda change: change.path in partly, keep=True)
        finally:
            if not pending(str(folder / "work")):
                _end(box, folder)
    outcome.done += done.done
    outcome.refused.update(done.refused)


def finish_parts(box: Sandbox) -> None:
    """Brings to its end a commit of parts that was killed."""
    if box.directory is None or pending(box.work) or not any(box.directory.glob(f"{_FOLDER}-*")):
        return
    with box.change():
        settle(box)
        for folder in box.directory.glob(f"{_FOLDER}-*"):
            if pending(str(folder / "work")):
                commit(_layer(box, folder), ask=lambda _: False)
            _end(box, folder)


def _made(box: Sandbox, folder: Path, partly: Mapping[str, Sequence[Hunk]]) -> Sandbox:
    """A layer that has the pieces, and nothing else."""
    (folder / "upper").mkdir(0o700)
    (folder / "work").mkdir(0o700)
    copy_attributes(box.lowers[0], str(folder / "upper"))
    made = _layer(box, folder)
    notes: dict[str, tuple[str, str]] = {}
    with box.view() as view, made.view(writable=True) as part, box.base() as base:
        for path, pieces in partly.items():
            text = joined(base.read(path), pieces)
            part.write(path, text, os.O_TRUNC)
            notes[path] = hashlib.sha256(text).hexdigest(), _free_name(view, path)
    (folder / _NOTES).write_text(json.dumps(notes), encoding="ascii")
    return made


def _layer(box: Sandbox, folder: Path) -> Sandbox:
    made = Sandbox.of(str(folder / "upper"), box.lowers, n_data=box.metadata.n_data, mount=box.mount,
                      work=str(folder / "work"), flags=box.flags)
    made.metadata.name = box.name  # by which the commit is known
    return made


def _end(box: Sandbox, folder: Path) -> None:
    """Each file of which the host has the part becomes a copy of itself, that was made just now."""
    try:
        notes = json.loads((folder / _NOTES).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):  # killed before anything was done
        notes = {}
    if notes:
        with box.view(writable=True) as view, box.base() as base:
            for path, (digest, new) in notes.items():
                if view.find(new) is not None:
                    view.unlink(new)
                there, ours = base.find(path), view.find(path)
                if there is not None and there.is_file and ours is not None and ours.is_file and \
                        hashlib.sha256(base.read(path)).hexdigest() == digest:
                    _renew(view, path, new)
    remove_tree(str(folder))


def _free_name(view: View, path: str) -> str:
    head, _, name = path.rpartition("/")
    short = os.fsdecode(os.fsencode(name)[:200])
    names = (f"{head}/.{short}.{number}" for number in range(1 << 20))
    return next(new for new in names if view.find(new) is None)


def _renew(view: View, path: str, new: str) -> None:
    status = view.stat(path)
    copy_between(lambda: view.open(path, os.O_RDONLY),
                 lambda: view.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    if (status.uid, status.gid) != (view.stat(new).uid, view.stat(new).gid):
        view.chown(new, status.uid, status.gid)
    for name, value in view.xattrs(path).items():
        view.setxattr(new, name, value)
    view.chmod(new, stat.S_IMODE(status.mode))
    view.utimens(new, status.atime, status.mtime)
    view.rename(new, path)
