"""Changes a tree step by step and tells of each, so that one who was killed says how far it has come.

`python3 steps.py SEED COUNT` in the directory that is changed; each step is one that happens or does not, and a line on
standard output follows it.  What a step does follows from the seed and the steps before alone, so that the same seed
makes the same tree anywhere.

Rules: runs by itself, in a view, without anything of ptoverlay.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable

#: What the lower has.
FILES = tuple(f"old{i}" for i in range(40))
DIRECTORIES = tuple(f"dir{i}" for i in range(10))


class Steps:
    """The names that there are, as the steps have made them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.files = [*FILES, *(f"{directory}/inside" for directory in DIRECTORIES)]
        self.directories = list(DIRECTORIES)
        self.number = 0

    def place(self) -> str:
        """A new name in any directory."""
        directory = self.random.choice(["", *self.directories])
        return os.path.join(directory, f"new{self.number}")

    def take(self) -> str:
        """A file, which has this name no more."""
        return self.files.pop(self.random.randrange(len(self.files)))

    def step(self) -> None:
        """The next one."""
        self.number += 1
        kinds: list[Callable[[], None]] = [self.write, self.append, self.append, self.cut, self.make_directory,
                                           self.mode]
        if len(self.files) > 10:
            kinds += [self.move, self.move, self.replace, self.remove, self.link, self.move_directory]
        self.random.choice(kinds)()

    def write(self) -> None:
        """A new file, empty: what it holds is another step's."""
        path = self.place()
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
        self.files.append(path)

    def append(self) -> None:
        fd = os.open(self.random.choice(self.files), os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"%d\n" % self.number * self.random.choice([1, 1000]))
        os.close(fd)

    def cut(self) -> None:
        os.truncate(self.random.choice(self.files), self.random.randrange(20))

    def make_directory(self) -> None:
        path = self.place()
        os.mkdir(path, 0o750)
        self.directories.append(path)

    def mode(self) -> None:
        os.chmod(self.random.choice(self.files), self.random.choice([0o600, 0o644, 0o755]))

    def move(self) -> None:
        old, new = self.take(), self.place()
        os.rename(old, new)
        self.files.append(new)

    def replace(self) -> None:
        """rename(2) onto another file."""
        old, new = self.take(), self.take()
        os.rename(old, new)
        self.files.append(new)

    def remove(self) -> None:
        os.unlink(self.take())

    def link(self) -> None:
        old, new = self.random.choice(self.files), self.place()
        os.link(old, new)
        self.files.append(new)

    def move_directory(self) -> None:
        """With all that is in it."""
        old = self.random.choice(self.directories)
        new = f"moved{self.number}"
        os.rename(old, new)
        for names in (self.files, self.directories):
            names[:] = [new + name[len(old):] if f"{name}/".startswith(f"{old}/") else name for name in names]


def main() -> None:
    """The whole program."""
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    os.umask(0o022)
    steps = Steps(seed)
    for number in range(count):
        steps.step()
        os.write(1, b"%d\n" % (number + 1))


if __name__ == "__main__":
    main()
