"""Layers, a mount point, and the three places where a test runs the same thing.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import difflib
import itertools
import os
import shutil
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Unpack

from .box import Box
from .oracle import Done, How, Kernel, Plain, Who, Words, run
from .snapshot import TREE, UNTOUCHED, Snapshot, assert_equal, parse
from .subjects import Subjects
from .trees import OLD, Node, standard, write, write_split

#: Names in the standard tree whose owner or group an ordinary user cannot give to his copy.
KEPT = (r"^(.*/)?(setgid|sticky|foreign)",)


def _diff(expected: str, found: str) -> str:
    lines = difflib.unified_diff(expected.splitlines(), found.splitlines(), "plain", "box", lineterm="", n=1)
    return "\n".join(itertools.islice(lines, 60))


class World:
    """One test's directories below `area`:

    lower0 lower1 …   read-only layers, topmost first
    upper work        of the box
    kernel-upper kernel-work   of the kernel's overlayfs
    plain             a copy of what the view shows at the start
    mnt               the mount point of all three
    home              HOME and TMPDIR of the commands
    """

    def __init__(self, area: Path, subjects: Subjects, who: Who, trap: str) -> None:
        self.area = area
        self.subjects = subjects
        self.who = who
        self.trap = trap
        self.lowers: list[Path] = []
        self.upper = self._directory("upper")
        self.work = self._directory("work")
        self.kernel_upper = self._directory("kernel-upper")
        self.kernel_work = self._directory("kernel-work")
        self.plain_directory = self._directory("plain")
        self.mount = self._directory("mnt")
        self.home = self._directory("home")
        self._frozen: dict[Path, Snapshot] = {}

    @property
    def owner(self) -> tuple[int, int]:
        """Of everything that is laid out."""
        return (self.who.uid, self.who.gid)

    def _directory(self, name: str) -> Path:
        path = self.area / name
        path.mkdir()
        path.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(path, *self.owner)
        return path

    # ---- laying out

    def add_lower(self) -> Path:
        """One more lower layer, below those there are."""
        path = self._directory(f"lower{len(self.lowers)}")
        self.lowers.append(path)
        return path

    def lay_out(self, nodes: Iterable[Node], *, split: bool = False) -> None:
        """The tree in one lower, or spread over upper and two lowers; and the plain copy of it."""
        all_nodes = list(nodes)
        write(self.plain_directory, all_nodes, self.owner)
        if not split:
            write(self.add_lower(), all_nodes, self.owner)
        else:
            layers = [self.upper, self.add_lower(), self.add_lower()]
            write_split(layers, all_nodes, self.owner, self.who.prefix)
            if os.geteuid() == 0:
                self._copy(self.upper, self.kernel_upper)
                self._trusted(self.kernel_upper)
        for layer in (self.upper, self.kernel_upper):
            os.utime(layer, ns=(OLD, OLD))
        self.freeze()

    def lay_out_standard(self, subject: str = "", *, split: bool = False, more: Sequence[Node] = ()) -> None:
        """The tree that the subject expects, and more."""
        self.lay_out([*standard(self.mount, subject), *more], split=split)

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        """Everything of a layer, with attributes."""
        done = run(["cp", "-a", "-T", source, target])
        assert done.status == 0, done.err

    @staticmethod
    def _trusted(layer: Path) -> None:
        """Gives user.overlay.* attributes the names that the kernel's overlayfs of root reads."""
        for directory, names, files in os.walk(layer):
            for path in (Path(directory), *(Path(directory, n) for n in (*names, *files))):
                for name in os.listxattr(path, follow_symlinks=False):
                    if name.startswith("user.overlay."):
                        value = os.getxattr(path, name, follow_symlinks=False)
                        os.setxattr(path, f"trusted{name[4:]}", value, follow_symlinks=False)
                        os.removexattr(path, name, follow_symlinks=False)

    def fill_plain(self) -> None:
        """Makes the plain directory a copy of the first lower, which a test laid out itself."""
        shutil.rmtree(self.plain_directory)
        self._copy(self.lowers[0], self.plain_directory)

    # ---- the lower layers stay what they were

    def raw_snapshot(self, directory: Path) -> Snapshot:
        """Of a layer itself, as the tests' own user sees it."""
        done = run([self.subjects.path("tree"), directory])
        assert done.status == 0, done.err
        return parse(done.out)

    def freeze(self) -> None:
        """From now on the lowers have to stay as they are."""
        self._frozen = {lower: self.raw_snapshot(lower) for lower in self.lowers}

    def assert_lowers_untouched(self, ignore: Sequence[str] = ()) -> None:
        """Every entry of every lower is what it was: contents, attributes, ctime, xattrs, links."""
        for lower, before in self._frozen.items():
            after = self.raw_snapshot(lower)
            assert_equal(f"the lower {lower.name} changed", before, after, UNTOUCHED, exact=True, ignore=ignore)

    # ---- the places

    @property
    def env(self) -> dict[str, str]:
        """A small environment that is the same everywhere."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "TMPDIR": str(self.home),
            "LC_ALL": "C.UTF-8",
            "USER": self.who.name,
            **{name: value for name, value in os.environ.items() if name == "PTOVERLAY_INJECT"},
        }

    def plain(self) -> Plain:
        """The plain copy."""
        return Plain(self.subjects, self.who, self.mount, self.plain_directory)

    def kernel(self) -> Kernel:
        """The kernel's overlayfs on the same lowers, with an upper of its own."""
        return Kernel(self.subjects, self.who, self.mount, self.lowers, self.kernel_upper, self.kernel_work)

    def box(self, *options: str) -> Box:
        """ptoverlay."""
        return Box(
            self.subjects, self.who, self.mount, self.lowers, self.upper, self.work, trap=self.trap, options=options
        )

    def kernel_on_upper(self) -> Kernel:
        """The kernel's overlayfs on the upper that the box left; by an ordinary user in a user namespace.

        There the kernel follows no redirects (userxattr), so an upper that has any is copied, its attributes
        get the names for root, and root mounts it."""
        upper, work, userns = self.upper, self.work, not self.who.is_root
        if userns and os.geteuid() == 0 and self._has_redirects():
            upper, work, userns = self.trusted_copy("trusted-upper"), self._directory("trusted-work"), False
        return Kernel(self.subjects, self.who, self.mount, self.lowers, upper, work, userns=userns)

    def trusted_copy(self, name: str) -> Path:
        """The upper that an ordinary user left, as root would have left it."""
        copy = self._directory(name)
        self._copy(self.upper, copy)
        self._trusted(copy)
        return copy

    def _has_redirects(self) -> bool:
        redirect = "user.overlay.redirect="
        return any(x.startswith(redirect) for e in self.raw_snapshot(self.upper).values() for x in e.xattrs)

    # ---- the promise

    def assert_same_tree(self, names: Sequence[str] = TREE, ignore: Sequence[str] = ()) -> None:
        """What the box shows, and the kernel on the upper that the box left, is the plain copy."""
        expected = self.plain().snapshot()
        assert_equal(
            "ptoverlay shows another tree than the plain copy", expected, self.box().snapshot(), names, ignore=ignore
        )
        self.assert_kernel_agrees(names, ignore)

    def assert_kernel_agrees(self, names: Sequence[str] = TREE, ignore: Sequence[str] = ()) -> None:
        """The kernel's overlayfs on the upper that the box left shows the plain copy's tree.

        An ordinary user's copies belong to him; that they are of others is kept in an attribute that only the
        view reads."""
        if os.geteuid() != 0 and self._has_redirects():
            warnings.warn("not compared: only root can have the kernel follow redirects", stacklevel=2)
            return
        if not self.who.is_root:
            ignore = [*ignore, *KEPT]
        kernel = self.kernel_on_upper()
        found = kernel.snapshot()
        plain = self.plain()
        plain.userns = kernel.userns
        expected = plain.snapshot()
        assert_equal("the kernel's overlayfs sees another tree on this upper", expected, found, names, ignore=ignore)

    def same_run(self, command: Words, **how: Unpack[How]) -> Done:
        """Runs it on the plain copy and in the box; output and status have to be equal, and are returned."""
        how["env"] = {**self.env, **(how.get("env") or {})}
        expected = self.plain().run(command, **how)
        found = self.box().run(command, **how)
        what = " ".join(os.fspath(c) for c in command)[:300]
        assert found.status == expected.status, (
            f"{what}: status {found.status}, on a plain copy {expected.status}\n"
            f"box: {found.out[-3000:]}\n{found.err[-3000:]}\nplain: {expected.out[-1500:]}\n{expected.err[-1500:]}"
        )
        assert found.out == expected.out, f"{what}: other output than on a plain copy\n{_diff(expected.out, found.out)}"
        assert found.err == expected.err, (
            f"{what}: other messages than on a plain copy\n{_diff(expected.err, found.err)}"
        )
        return expected
