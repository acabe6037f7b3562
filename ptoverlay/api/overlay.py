"""The Python API: what the command line does, as objects.

    from ptoverlay import Overlay

    with Overlay(lower="/") as box:                       # a temporary layer
        box.run(["make", "install"], check=True)
        for change in box.changes():
            print(change.kind, change.path, change.size)
        box.commit(["/usr/local/bin"])

Commands run below a supervisor that is a process of its own, so the GIL is never held for them, signals and pipes are
the kernel's, and any number of overlays can be used in one process and in its threads.

Rules: an overlay holds its layers from open() to close(), and a temporary one leaves nothing behind, however the
process ends that Python can still notice; what is done here is done by the modules of the command line.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from typing import Any

from ptoverlay.api.running import Runs
from ptoverlay.api.work import Works
from ptoverlay.shared.asking import checkpoint, fork_running


class Overlay(Runs, Works):
    """A view of read-only lower directories with a writable upper layer on top: the place to run commands.

    lower: one directory or several, topmost first, None: "/", or what a sandbox that exists lies on; upper: the
    directory that all changes go to, made if it is missing, None: a temporary one below $TMPDIR that close() throws
    away; work: scratch on the upper's file system, None: .NAME.work beside the upper; mount: directory where the view
    appears, None: the topmost lower's own path; name: use, or make, the named sandbox of the command line (`ptoverlay
    list`): commands join whoever is in it, and others may join them; what changes it otherwise waits for nobody, and is
    a Failure (InUse) while a command of somebody else runs.

    direct, read_only, hide: directories that are as on the host, cannot be changed, are not there; mount_options: those
    of overlayfs, without directories ("volatile,metacopy=on"); trap: "auto", "ptrace" or "notify"; strict: a call that
    cannot be carried out faithfully kills the program; kill_on_exit: when a command ends, end what it has started;
    inject: programs that ask a lot about what is unchanged answer themselves; fake_root:
    commands see themselves as root; limit: bytes that the upper may grow to by commands, for whom more is ENOSPC.

    build: commands run as `ptoverlay build` runs them, with what this `Build` says; the tree lies at mount, which need
    not be there (then changes are told below the topmost lower), or at the topmost lower's own path.  record,
    provenance, depfile, sbom: files that each command's inputs and results are written to, in these forms, when it has
    ended (docs/record.rst).

    It is a context manager; without one call open() and close().  At one time one command runs in an overlay; take
    several overlays, each with a layer of its own, to run several.  Its methods may be called from any thread.

    Failure (one line: what, why, remedy) when the layers cannot be used or the machine does not allow it.

    >>> import pathlib, tempfile
    >>> lower = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (lower / "greeting").write_text("hello")
    >>> with Overlay(lower) as box:
    ...     done = box.run("rm greeting; echo bye >farewell; ls", shell=True, cwd=lower, capture_output=True, text=True)
    ...     print(done.stdout, end="")
    ...     for change in box.changes():
    ...         print(change.kind, os.path.basename(change.path), change.size)
    farewell
    added farewell 4
    removed greeting 0
    >>> [path.name for path in lower.iterdir()]
    ['greeting']
    """

    def fork(self, **arguments: Any) -> Overlay:
        """A new overlay, not yet open, that goes on from this one at no copy: this one's upper is its topmost lower, so
        run nothing here as long as that one is used.  arguments: of `Overlay`, without lower and mount.  With a
        name, of one with a name, it is what `ptoverlay fork` makes.  Of a named one in which commands run it has the
        state of this moment.

        >>> with Overlay() as box:
        ...     done = box.run("echo one >/tmp/file", shell=True)
        ...     with box.fork() as fork:
        ...         done = fork.run("echo two >>/tmp/file", shell=True)
        ...         fork.read("/tmp/file"), box.read("/tmp/file")
        (b'one\\ntwo\\n', b'one\\n')
        """
        with self._lock:
            if self._named is not None and self._opened().running() and (made := self._fork_running(arguments)):
                return made
            sandbox = self._idle()
        if not os.path.isdir(sandbox.upper):
            return Overlay(sandbox.lowers, mount=sandbox.mount, **arguments)
        made = Overlay([sandbox.upper, *sandbox.stack], mount=sandbox.mount, **arguments)
        made._parent = sandbox.name
        return made

    def _fork_running(self, arguments: dict[str, Any]) -> Overlay | None:
        """Of what commands have changed until now; None: nobody is in it any more."""
        assert self._named is not None
        if arguments.get("name") is not None:
            return Overlay(**arguments) if fork_running(self._named, arguments["name"]) else None
        checkpoint(self._named, "")
        sandbox = self._opened()
        made = Overlay(sandbox.stack, mount=sandbox.mount, **arguments)
        made._parent = sandbox.name
        return made
