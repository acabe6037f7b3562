"""What ``--rootfs`` and ``--bind`` add to a run: the host's own places in a root that is another than the host's.

``--rootfs DIR`` is ``-l DIR -m / -C /``; of the host it shows /proc, /sys, /dev and, read-only, /etc/resolv.conf.
``--bind HOST[:INSIDE]`` shows one more directory or file of the host, which the run writes to.

Rules: a mount point that the root lacks is made in the run's layer, as a directory or an empty file; nothing is made in
the root itself.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat

from ptoverlay import errors, options
from ptoverlay.core import ffi, lib
from ptoverlay.errors import Failure
from ptoverlay.options import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Laid(Protocol):
        """What of run.py's views is used here."""

        handle: Any
        is_nested: bool

        def add_bind(self, host: str, inside: str) -> None: ...
        def add_place(self, kind: int, path: str) -> bool: ...

_OF_THE_HOST = ("/proc", "/sys", "/dev")
_RESOLVER = "/etc/resolv.conf"


def parse_bind(text: str) -> tuple[str, str]:
    """HOST and INSIDE of ``HOST[:INSIDE]``, both absolute; a backslash before a colon takes its meaning from it."""
    parts = [options.unescape(part) for part in options.split_escaped(text, ":")]
    if len(parts) > 2 or not all(parts) or "\0" in text:
        raise Failure(f"--bind {text}", "HOST or HOST:INSIDE is meant", r"\: is a colon in a name")
    host = os.path.abspath(parts[0])
    inside = parts[-1] if len(parts) == 2 else host
    if not os.path.isabs(inside):
        raise Failure(f"--bind {text}", "INSIDE is no absolute path of the view", f"--bind {parts[0]}:/{inside}")
    return host, os.path.normpath(inside)


def make_mount_points(view: Laid) -> None:
    """What the usual places of a run need."""
    for path in _OF_THE_HOST:
        if os.path.isdir(path) and not _make(view, path, is_directory=True):
            view.add_bind(path, path)


def add(request: Request, view: Laid) -> None:
    """Adds what the request binds, after the usual places."""
    if request.overlays[0].rootfs and os.path.exists(_RESOLVER) and not view.is_nested:
        _resolver(view)
    for host, inside in request.binds:
        what = f"--bind {host}:{inside}" if host != inside else f"--bind {host}"
        try:
            is_directory = stat.S_ISDIR(os.stat(host).st_mode)
        except OSError as error:
            raise errors.from_os_error(what, error) from error
        if not view.is_nested:
            _make(view, inside, is_directory=is_directory)
        try:
            view.add_bind(host, inside)
        except Failure as failure:
            raise Failure(what, f"{failure.what}: {failure.why}", failure.remedy) from failure


def _resolver(view: Laid) -> None:
    """The host's servers of names: a root's own are those of where it was made."""
    try:
        _make(view, _RESOLVER, is_directory=False)
        view.add_bind(_RESOLVER, _RESOLVER)
        view.add_place(options.PLACE_READ_ONLY, _RESOLVER)
    except Failure:
        pass  # a root without /etc asks nobody


def _make(view: Laid, path: str, *, is_directory: bool) -> bool:
    """Makes a mount point and what it lies in, where they are missing.  False: it is not there, since the user may not
    make it or nothing can be made, and no list has its name."""
    out: Any = ffi.new("struct pto_stat *")
    found = lib.pto_stat(view.handle, os.fsencode(path), True, out)
    if found == 0 or path == "/":
        return found == 0
    if found != -errno.ENOENT or not _make(view, os.path.dirname(path), is_directory=True):
        return False
    name = os.fsencode(path)
    error = (lib.pto_mkdir(view.handle, name, 0o755) if is_directory
             else lib.pto_mknod(view.handle, name, stat.S_IFREG | 0o644, 0))
    return error == 0
