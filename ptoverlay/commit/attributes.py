"""Attributes of objects: read from a view, set on an object of the host.

Rules: owner before extended attributes before mode before times, since each takes something away from those after it;
what an ordinary user may never set (trusted.*, security.*) stays behind, as with cp -a.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import partial

from ptoverlay.commit.journal import Attributes
from ptoverlay.commit.tree import Tree
from ptoverlay.layer.private import is_private
from ptoverlay.layer.view import View

_STAYS_BEHIND = (errno.EPERM, errno.EOPNOTSUPP, errno.EACCES)


def of(view: View, path: str) -> Attributes:
    """All attributes that the view shows."""
    status = view.stat(path)
    xattrs = {name: value.hex() for name, value in view.xattrs(path).items()}
    return Attributes(stat.S_IMODE(status.mode), status.uid, status.gid, status.atime, status.mtime, xattrs)


def on_host(tree: Tree, path: str, like: Attributes) -> Attributes | None:
    """What an object of the tree has now of what these set, None where there is none."""
    status = tree.lstat(path)
    if status is None:
        return None
    real = tree.real(path)
    try:
        names = [name for name in os.listxattr(real, follow_symlinks=False) if not is_private(name)]
    except OSError as error:
        if error.errno not in _STAYS_BEHIND:
            raise
        names = []
    xattrs = {name: os.getxattr(real, name, follow_symlinks=False).hex() for name in names}
    return Attributes(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_atime_ns,
                      None if like.mtime is None else status.st_mtime_ns, None if like.xattrs is None else xattrs)


def apply(tree: Tree, path: str, wanted: Attributes, *, any_owner: bool = False) -> None:
    """Gives an object of the tree these attributes.  any_owner: an owner that cannot be set is let be."""
    with tree.handle(path) as handle:
        link = stat.S_ISLNK(os.stat(handle).st_mode)  # the handle leads to the symlink itself and no further
        _apply(tree.real(path) if link else handle, link, wanted, any_owner)


def apply_to_descriptor(fd: int, wanted: Attributes, *, any_owner: bool = False) -> None:
    """The same for an open file, which need not have a name."""
    _apply(f"/proc/self/fd/{fd}", False, wanted, any_owner)


def _apply(path: str, link: bool, wanted: Attributes, any_owner: bool) -> None:
    follow = not link
    now = os.stat(path, follow_symlinks=follow)
    if (now.st_uid, now.st_gid) != (wanted.uid, wanted.gid):
        try:
            os.chown(path, wanted.uid, wanted.gid, follow_symlinks=follow)
        except OSError as error:
            if not any_owner or error.errno not in (errno.EPERM, errno.EINVAL):  # EINVAL: not of this user namespace
                raise
    if wanted.xattrs is not None:
        _xattrs(path, {name: bytes.fromhex(value) for name, value in wanted.xattrs.items()}, follow)
    if not link:
        os.chmod(path, wanted.mode)
    if wanted.mtime is not None:
        atime = now.st_atime_ns if wanted.atime is None else wanted.atime
        os.utime(path, ns=(atime, wanted.mtime), follow_symlinks=follow)


def _xattrs(path: str, wanted: dict[str, bytes], follow: bool) -> None:
    try:
        present = os.listxattr(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in _STAYS_BEHIND:
            raise
        present = []
    for name in present:
        if name not in wanted and not is_private(name):
            _try(name, partial(os.removexattr, path, name, follow_symlinks=follow))
    for name, value in wanted.items():
        _try(name, partial(os.setxattr, path, name, value, follow_symlinks=follow))


def _try(name: str, action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        if error.errno not in _STAYS_BEHIND or not name.startswith(("trusted.", "security.")):
            raise
