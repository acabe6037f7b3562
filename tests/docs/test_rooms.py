"""tools/rooms: circles, uses upward, writers among readers, stale drawings, each by the chain that shows it; figures.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY

#: A house that is in order: path → text.
HOUSE = {
    "csrc/ptoverlay.h": "",
    "csrc/arch/arch.h": "int arch_word(void);\n",
    "csrc/arch/x86_64.c": '#include "arch.h"\nint arch_word(void) {\n    return 8;\n}\n',
    "csrc/view/view.h": "int view_open(int);\n",
    "csrc/view/layers/layers.h": "int lower_find(int);\n",
    "csrc/view/layers/lower.c": '#include <unistd.h>\n#include "layers.h"\n'
                                'int lower_find(int fd) {\n    return dup(fd);\n}\n',
    "csrc/view/ops/open.c": '#include "../layers/layers.h"\n#include "../view.h"\n'
                            "static int begin(int fd) {\n    return lower_find(fd);\n}\n\n"
                            "int view_open(int fd) {\n    return begin(fd);\n}\n",
    "csrc/calls/call.c": '#include "../view/view.h"\nint call_make(int);\n'
                         "static int begin(int fd) {\n    return view_open(fd);\n}\n\n"
                         "int call_make(int fd) {\n    return begin(fd);\n}\n",
    "ptoverlay/__init__.py": "",
    "ptoverlay/one.py": "from ptoverlay import two\n",
    "ptoverlay/two.py": "X = 1\n",
}


class House:
    """A tree, and what tools/rooms says of it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.write(HOUSE)

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def rooms(self, *words: str) -> str:
        for source in self.top.glob("csrc/**/*.c"):
            made = (self.top / "objects" / source.relative_to(self.top)).with_suffix(".o")
            made.parent.mkdir(parents=True, exist_ok=True)
            if made.exists() and made.stat().st_mtime_ns > source.stat().st_mtime_ns:
                continue
            subprocess.run(["gcc", "-c", source, "-o", made], check=True)
        command: list[str | Path] = [sys.executable, ROOT_DIRECTORY / "tools/rooms.py", "--top", self.top, "--objects",
                   self.top / "objects", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (bool(done.stdout) and "--all" in words, ""), done
        return done.stdout

    def wrong(self) -> str:
        """Without the name of the rule, and whether it is held already."""
        return "".join(line.partition(": ")[2] + "\n" for line in self.rooms("--all").splitlines())


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / "docs").mkdir()
    house = House(tmp_path)
    house.rooms("--svg", str(tmp_path / "docs/rooms.svg"))
    assert house.wrong() == ""
    return house


WRONG = {
    "a circle of calls": (
        {"csrc/calls/call.c": "int cwd_keep(int);\nint call_make(int fd) {\n    return cwd_keep(fd);\n}\n",
         "csrc/calls/cwd.c": "int fork_on(int);\nint cwd_keep(int fd) {\n    return fork_on(fd);\n}\n",
         "csrc/calls/fork.c": "int call_make(int);\nint fork_on(int fd) {\n    return call_make(fd);\n}\n"},
        "3 files in a circle: csrc/calls/call.c → csrc/calls/cwd.c (cwd_keep) → csrc/calls/fork.c (fork_on) → "
        "csrc/calls/call.c (call_make)\n"),
    "a circle of includes": (
        {"csrc/view/layers/layers.h": '#pragma once\n#include "other.h"\nint lower_find(int);\n',
         "csrc/view/layers/other.h": '#pragma once\n#include "layers.h"\n'},
        "2 files in a circle: csrc/view/layers/layers.h → csrc/view/layers/other.h → csrc/view/layers/layers.h\n"),
    "a call upward": (
        {"csrc/arch/x86_64.c": "int call_make(int);\nint arch_word(void) {\n    return call_make(0);\n}\n"},
        "arch stands below: csrc/arch/x86_64.c → csrc/calls/call.c (call_make)\n"),
    "an include upward": (
        {"csrc/calls/call.h": "", "csrc/arch/arch.h": '#include "../calls/call.h"\nint arch_word(void);\n'},
        "arch stands below: csrc/arch/arch.h → csrc/calls/call.h\n"),
    "the view uses what is not the view's": (
        {"csrc/view/ops/open.c": '#include "../view.h"\nint arch_word(void);\n'
                                 "int view_open(int fd) {\n    return arch_word() + fd;\n}\n"},
        "csrc/view is to link alone: csrc/view/ops/open.c → csrc/arch/x86_64.c (arch_word)\n"),
    "a layer that is written": (
        {"csrc/view/layers/lower.c": "#include <unistd.h>\n#include <sys/syscall.h>\nint lower_find(int fd) {\n"
                                     "    return ftruncate(fd, 0) + syscall(SYS_renameat2, fd, fd);\n}\n"},
        "csrc/view/layers/lower.c: writes (ftruncate, renameat2)\n"),
    "two headers of one guard": (
        {"csrc/calls/more.h": "#ifndef PTOVERLAY_MORE_H\n#define PTOVERLAY_MORE_H\n#endif\n",
         "csrc/view/ops/more.h": "#ifndef PTOVERLAY_MORE_H\n#define PTOVERLAY_MORE_H\n#endif\n"},
        "csrc/view/ops/more.h: has the guard of csrc/calls/more.h, PTOVERLAY_MORE_H\n"),
    "a comment that is too long": (
        {"csrc/calls/more.h": f"#pragma once\n/* {114 * 'x'} */\n/* {115 * 'x'} */\n"},
        "csrc/calls/more.h:3: over 120 columns\n"),
    "a circle of imports, one of them in a function": (
        {"ptoverlay/two.py": "def f():\n    from .one import X\n"},
        "2 files in a circle: ptoverlay/one.py → ptoverlay/two.py → ptoverlay/one.py (X)\n"),
    "two classes of one name": (
        {"ptoverlay/two.py": "class View: pass\n", "ptoverlay/three.py": "class View: pass\n"},
        "class View: in ptoverlay/three.py and ptoverlay/two.py\n"),
    "a circle by a package's own file": (
        {"ptoverlay/ship/__init__.py": "from ..one import X\n", "ptoverlay/ship/tar.py": "",
         "ptoverlay/two.py": "from ptoverlay.ship import tar\n"},
        "3 files in a circle: ptoverlay/one.py → ptoverlay/two.py → ptoverlay/ship/__init__.py → "
        "ptoverlay/one.py (X)\n"),
}


@pytest.mark.parametrize("what", WRONG)
def test_found_by_its_chain(house: House, what: str) -> None:
    files, told = WRONG[what]
    house.write(files)
    house.rooms("--svg", str(house.top / "docs/rooms.svg"))
    assert told in house.wrong()


def test_a_drawing_becomes_stale(house: House) -> None:
    """By a file more, and by an arrow more."""
    path = house.top / "docs/rooms.svg"
    house.write({"csrc/view/walk/namei.c": '#include "../layers/layers.h"\n'})
    assert house.wrong() == "docs/rooms.svg is not what the includes say: tools/rooms --svg docs/rooms.svg\n"
    house.rooms("--svg", str(path))
    before = path.read_text()
    assert house.wrong() == ""
    house.write({"csrc/view/ops/open.c": HOUSE["csrc/view/ops/open.c"].replace("layers/layers.h", "walk/walk.h"),
                 "csrc/view/walk/walk.h": '#include "../layers/layers.h"\n'})
    assert "is not what the includes say" in house.wrong()
    house.rooms("--svg", str(path))
    assert path.read_text() != before


def test_figures(house: House) -> None:
    house.write({"csrc/calls/cwd.c": "int call_make(int);\nint call_back(void) {\n    return call_make(1);\n}\n"
                                     "int stray(void) {\n    return 1;\n}\n",
                 "csrc/calls/call.c": HOUSE["csrc/calls/call.c"].replace("view_open(fd)", "view_open(fd) + call_back()")
                                      .replace("int call_make(int);", "int call_make(int), call_back(void);")
                                      + f"/* {'x' * 120} */\n"})
    lines = [line.split("  ") for line in house.rooms("--figures").splitlines()]
    assert [(words[0], words[-1].strip()) for words in lines] == [
        ("files of csrc/ in circles", "2 of 5"),
        ("files of ptoverlay/ in circles", "0 of 3"),
        ("external names without the prefix of their file or header", "2 of 6"),
        ("static names in more than one file", "1 (begin in 2)"),
        ("lines over 120 columns", "1"),
        ("longest file of csrc/", "10 csrc/calls/call.c"),
        ("longest function of csrc/", "3 csrc/arch/x86_64.c arch_word"),
        ("longest file of ptoverlay/", "1 ptoverlay/one.py"),
        ("longest function of ptoverlay/", "0"),
    ]


def test_an_old_object_is_not_believed(house: House) -> None:
    objects = house.top / "objects"
    (objects / "csrc/calls/call.o").unlink()
    words = [ROOT_DIRECTORY / "tools/rooms.py", "--top", house.top, "--objects", objects]
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("csrc/calls/call.o is older than csrc/calls/call.c, or missing: tools/prepare\n")


def test_each_test_is_where_its_promise_is() -> None:
    """In one of the folders that docs/developing.rst names, and no folder is without one."""
    text = (ROOT_DIRECTORY / "docs/developing.rst").read_text()
    rule = text[text.index("A test stands in the folder"):text.index("what several use is in")]
    folders = {path.parent.name for path in (ROOT_DIRECTORY / "tests").rglob("test_*.py")}
    assert folders == set(re.findall(r"``(\w+)`` \(", rule))
