"""Every kind of call on every kind of object in every kind of directory, by an ordinary user: who may do what.

`python -m support.attempts plain DIR` makes them where it is, `python -m support.attempts view LOWER UPPER WORK MOUNT`
on a view in this process; both print one line for each call, and one for each object of the tree that is left.

Rules: each call has objects of its own, so that none is there or missing because of another one.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ptoverlay import options
from ptoverlay.layer.view import View

from .players import KernelPlayer, ViewPlayer, play, tree
from .sequences import Step
from .trees import FOREIGN, FOREIGN_GROUP, NOBODY, Node, acl

#: (-1: the user who makes the calls)
OWN, OTHER = (-1, 1000), (FOREIGN, FOREIGN)
OTHERS_IN_OUR_GROUP, OURS_IN_ANOTHER_GROUP = (FOREIGN, 1000), (-1, FOREIGN_GROUP)

USER_OBJ, A_USER, GROUP_OBJ, A_GROUP, MASK, REST = 1, 2, 4, 8, 0x10, 0x20   # acl(5)


def _acl(own: int, group: int, mask: int, rest: int, *more: tuple[int, int, int]) -> bytes:
    """more: entries of users and groups."""
    return acl((USER_OBJ, own, NOBODY), *(e for e in more if e[0] == A_USER), (GROUP_OBJ, group, NOBODY),
               *(e for e in more if e[0] == A_GROUP), (MASK, mask, NOBODY), (REST, rest, NOBODY))


ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
#: The user has number 1000, and his group.
ACLS = {
    "user": _acl(6, 0, 6, 0, (A_USER, 6, 1000)),
    "user-masked": _acl(6, 6, 4, 6, (A_USER, 6, 1000)),
    "user-denied": _acl(6, 6, 7, 6, (A_USER, 0, 1000), (A_GROUP, 6, 1000)),
    "group": _acl(6, 0, 6, 0, (A_USER, 7, 999), (A_GROUP, 6, 1000)),
    "group-masked": _acl(6, 6, 2, 4, (A_GROUP, 6, 1000)),
    "group-denied": _acl(6, 6, 7, 6, (A_GROUP, 0, 1000)),
    "rest": _acl(6, 0, 7, 6, (A_USER, 0, 999), (A_GROUP, 0, 999)),
    "nobody": _acl(6, 6, 0, 0, (A_USER, 6, 1000)),
}
DIRECTORIES = {
    "own": Node("", "dir", 0o755, owner=OWN),
    "own-closed": Node("", "dir", 0o555, owner=OWN),
    "own-sticky": Node("", "dir", 0o1777, owner=OWN),
    "own-setgid": Node("", "dir", 0o2775, owner=OURS_IN_ANOTHER_GROUP),
    "other": Node("", "dir", 0o755, owner=OTHER),
    "other-open": Node("", "dir", 0o777, owner=OTHER),
    "other-sticky": Node("", "dir", 0o1777, owner=OTHER),
    "group": Node("", "dir", 0o775, owner=OTHERS_IN_OUR_GROUP),
    "not-searched": Node("", "dir", 0o666, owner=OTHER),
    "acl-user": Node("", "dir", 0o770, owner=OTHER, xattrs={ACCESS: _acl(7, 0, 7, 0, (A_USER, 7, 1000))}),
    "acl-masked": Node("", "dir", 0o770, owner=OTHER, xattrs={ACCESS: _acl(7, 0, 5, 7, (A_USER, 7, 1000))}),
    "acl-default": Node("", "dir", 0o777, owner=OTHER, xattrs={DEFAULT: _acl(7, 5, 5, 1, (A_USER, 7, 1000))}),
}
OBJECTS = {
    "file": Node("", mode=0o644, owner=OWN),
    "read-only": Node("", mode=0o444, owner=OWN),
    "write-only": Node("", mode=0o622, owner=OURS_IN_ANOTHER_GROUP),
    "set-id": Node("", mode=0o6775, owner=OURS_IN_ANOTHER_GROUP),
    "other-file": Node("", mode=0o644, owner=OTHER),
    "other-writable": Node("", mode=0o666, owner=OTHER),
    "other-set-uid": Node("", mode=0o4666, owner=OTHER),
    "other-set-gid": Node("", mode=0o2676, owner=OTHER),
    "other-locking": Node("", mode=0o2666, owner=OTHER),
    "group-file": Node("", mode=0o664, owner=OTHERS_IN_OUR_GROUP),
    "group-none": Node("", mode=0o606, owner=OTHERS_IN_OUR_GROUP),
    "dir": Node("", "dir", 0o755, owner=OWN),
    "closed-dir": Node("", "dir", 0o555, owner=OWN),
    "other-dir": Node("", "dir", 0o755, owner=OTHER),
    "open-dir": Node("", "dir", 0o777, owner=OTHER),
    "link": Node("", "link", target="file", owner=OWN),
    "other-link": Node("", "link", target="file", owner=OTHER),
    "fifo": Node("", "fifo", 0o644, owner=OTHER),
    **{f"acl-{name}": Node("", owner=OTHER, content=b"text", xattrs={ACCESS: value}) for name, value in ACLS.items()},
    "acl-kept": Node("", owner=OURS_IN_ANOTHER_GROUP, xattrs={ACCESS: ACLS["rest"]}),
    "acl-own": Node("", owner=OWN, xattrs={ACCESS: ACLS["user-denied"]}),
}
#: A call on an object; {0}: its path, {1}: one of its own in a directory where everything may be done.
CALLS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "unlink": ("unlink", ("{0}",)),
    "rmdir": ("rmdir", ("{0}",)),
    "rename": ("rename", ("{0}", "{1}", 0)),
    "rename-in": ("rename", ("{1}.file", "{0}", 0)),
    "rename-dir-in": ("rename", ("{1}.dir", "{0}", 0)),
    "rename-here": ("rename", ("{0}", "{0}.new", 0)),
    "exchange": ("rename", ("{0}", "{1}.file", 2)),
    "exchange-dir": ("rename", ("{1}.dir", "{0}", 2)),
    "link": ("link", ("{0}", "{1}")),
    "chmod": ("chmod", ("{0}", 0o6754)),
    "chown": ("chown", ("{0}", -1, 1000)),
    "chown-same": ("chown", ("{0}", -1, -1)),
    "chown-away": ("chown", ("{0}", FOREIGN, -1)),
    "utimes": ("utimes", ("{0}", 5)),
    "truncate": ("truncate", ("{0}", 3)),
    "setxattr": ("setxattr", ("{0}", "user.new", "x")),
    "set-acl": ("setacl", ("{0}", ACLS["user"].hex())),
    "set-small-acl": ("setacl", ("{0}", acl((1, 6, NOBODY), (4, 4, NOBODY), (0x20, 1, NOBODY)).hex())),
    "remove-acl": ("removexattr", ("{0}", ACCESS)),
    "write": ("write", ("{0}", "w", "data")),
    "write-new": ("write", ("{0}.new", "wcx", "data")),
    "mkdir": ("mkdir", ("{0}.new", 0o2777)),
    "mkfifo": ("mkfifo", ("{0}.new", 0o666)),
    "symlink": ("symlink", ("target", "{0}.new")),
    "link-in": ("link", ("{1}.file", "{0}.new")),
    "move-in": ("rename", ("{1}.file", "{0}.new", 0)),
    "move-dir-in": ("rename", ("{1}.dir", "{0}.new", 0)),
    "read": ("read", ("{0}",)),
    "list": ("list", ("{0}",)),
}
#: Calls whose second path is that of something that is there.
WITH_OTHERS = ("rename-in", "rename-dir-in", "exchange", "exchange-dir", "link-in", "move-in", "move-dir-in")
#: Calls that make a name: whatever the object is; and those that change none: most directories are alike to them.
MAKING = ("write-new", "mkdir", "mkfifo", "symlink", "link-in", "move-in", "move-dir-in")
CHANGING = ("chmod", "chown", "chown-same", "chown-away", "utimes", "truncate", "setxattr",
            "set-acl", "set-small-acl", "remove-acl", "write", "read", "list")
#: What nobody lets the user read cannot be copied up by him: calls that would have to are left out.
UNREADABLE = ("group-none", "acl-user-denied", "acl-group-denied", "acl-group-masked", "acl-nobody")
COPYING = ("rename", "rename-here", "exchange", "exchange-dir", "chown-same", "truncate", "setxattr", "write")


def _directories(call: str) -> Iterable[str]:
    return ("own-closed", "other", "not-searched") if call in CHANGING else DIRECTORIES


def _objects(call: str, directory: str) -> Iterable[str]:
    if call in MAKING:
        return ("file",)
    return OBJECTS if call in CHANGING or directory.startswith("own") else [o for o in OBJECTS if "acl-" not in o]


def _cells() -> Iterator[tuple[str, str, str]]:
    """Call, directory, object."""
    for call in CALLS:
        for directory in _directories(call):
            for thing in _objects(call, directory):
                if (thing not in UNREADABLE or call not in COPYING) and (call, thing) != ("remove-acl", "set-id"):
                    yield call, directory, thing   # whether that takes the set-group-id bit off the file system says


def _owned(node: Node, path: str, owner: tuple[int, ...]) -> Node:
    assert node.owner
    user = owner[0] if node.owner[0] == -1 else node.owner[0]
    group = owner[1] if node.owner[1] == 1000 else node.owner[1]
    return replace(node, path=path, owner=(user, group))


def nodes(*owner: int) -> Iterator[Node]:
    """What the calls are made on; owner: the user who makes them, and his group."""
    user = owner[0], owner[1]
    yield Node(".", "dir", 0o755, owner=user)
    yield Node("free", "dir", 0o755, owner=user)
    for call in CALLS:
        yield Node(call, "dir", 0o755, owner=user)
        for name in _directories(call):
            yield _owned(DIRECTORIES[name], f"{call}/{name}", owner)
    for call, name, thing in _cells():
        path = f"{call}/{name}/{thing}"
        yield _owned(OBJECTS[thing], path, owner)
        if thing == "open-dir" and call != "rmdir" and not call.startswith("rename-"):
            yield Node(f"{path}/in", owner=OTHER)
        if call in WITH_OTHERS:
            yield Node(f"free/{call}+{name}+{thing}.file", content=b"free", owner=user)
            yield Node(f"free/{call}+{name}+{thing}.dir", "dir", 0o755, owner=user)


def steps() -> Iterator[Step]:
    """All calls."""
    for call, directory, thing in _cells():
        op, arguments = CALLS[call]
        paths = f"{call}/{directory}/{thing}", f"free/{call}+{directory}+{thing}"
        yield Step(op, tuple(a.format(*paths) if isinstance(a, str) else a for a in arguments))


def report(player: KernelPlayer | ViewPlayer) -> None:
    """Makes them, and shows what is left."""
    for step in steps():
        print(step.line(), "=", play(player, step))
    for path, found in tree(player).items():
        if not isinstance(found, str):
            print(path, "is", found)


def main(what: str, *paths: str) -> None:
    """See above."""
    if what == "plain":
        report(KernelPlayer(Path(paths[0]), ()))
        return
    lower, upper, work, mount = map(Path, paths)
    with View() as view:
        view.lay([lower], upper, work, mount, options.VOLATILE)
        report(ViewPlayer(view, mount, ()))


if __name__ == "__main__":
    main(*sys.argv[1:])
