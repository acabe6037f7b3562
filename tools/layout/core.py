"""How the files of csrc/ use each other: by #include, and by the symbols of the objects that were made of them.

Rules: only what another file defines is a use; what is static is nobody else's.  An object has to be as new as its
source, or the answer would be of yesterday.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: from → to → by what (names of functions and tables, or nothing but the #include).
Uses = dict[str, dict[str, set[str]]]


@dataclass(frozen=True)
class Function:
    """line: of its head; lines: to its closing brace; static: nobody else's."""

    name: str
    line: int
    lines: int
    static: bool


@dataclass
class Core:
    """The tree at `top`, and its objects below `objects`, named as their sources."""

    top: Path
    objects: Path
    defined: dict[str, str] = field(default_factory=dict)         # an external name → the file that defines it
    wanted: dict[str, set[str]] = field(default_factory=dict)     # a file → the names that it takes from elsewhere

    def __post_init__(self) -> None:
        self.files = sorted(path for pattern in ("*.c", "*.h") for path in (self.top / "csrc").rglob(pattern))
        self.texts = {self.name(path): path.read_text() for path in self.files}
        self._read_symbols()

    def name(self, path: Path) -> str:
        return str(path.relative_to(self.top))

    # ---- includes

    def includes(self) -> Uses:
        """A file that is included may stand beside the other one, or be named from csrc/."""
        uses: Uses = {name: {} for name in self.texts}
        for name, text in self.texts.items():
            for included in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.MULTILINE):
                for place in (Path(name).parent, Path("csrc")):
                    found = os.path.normpath(place / included)
                    if found in self.texts:
                        uses[name][found] = set()
                        break
        return uses

    # ---- calls

    def _read_symbols(self) -> None:
        made = {}
        for name in self.texts:
            path = (self.objects / name).with_suffix(".o")
            if not name.endswith(".c") or (not path.exists() and self._is_not_in_the_core(name)):
                continue
            if not path.exists() or path.stat().st_mtime < (self.top / name).stat().st_mtime:
                raise SystemExit(f"tools/rooms: {path} is older than {name}, or missing: tools/prepare")
            made[str(path)] = name
        listed = subprocess.run(["nm", "-A", "-P", *made], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            path_, symbol, kind = line.split()[:3]
            name = made[path_.rstrip(":")]
            if kind in "Uw":
                self.wanted.setdefault(name, set()).add(symbol)
            elif kind in "TDBRCVW":
                self.defined[symbol] = name

    @staticmethod
    def _is_not_in_the_core(name: str) -> bool:
        """Of another machine, or what runs inside of tracees."""
        return Path(name).parent.name == "stub" or "arch" in Path(name).parent.name + Path(name).stem

    def calls(self) -> Uses:
        uses: Uses = {name: {} for name in self.texts if name.endswith(".c")}
        for name, symbols in self.wanted.items():
            for symbol in symbols:
                if (where := self.defined.get(symbol)) is not None:
                    uses[name].setdefault(where, set()).add(symbol)
        return uses

    def strange(self, name: str) -> set[str]:
        """What a file takes from outside of the core; of syscall(2) the calls that it names."""
        names = {symbol.removesuffix("64") for symbol in self.wanted.get(name, ()) if symbol not in self.defined}
        return names | set(re.findall(r"\b(?:SYS|__NR)_(\w+)", self.texts[name]))

    # ---- functions

    def functions(self, name: str) -> Iterator[Function]:
        """By the layout that clang-format gives: a head from the first column on, a brace there at the end."""
        head, begin = "", 0
        inside = False
        for number, line in enumerate(self.texts[name].splitlines(), 1):
            if inside:
                if line.startswith("}"):
                    static = re.search(r"\bstatic\b", head) is not None
                    yield Function(_named(head), begin, number - begin + 1, static)
                    inside, head = False, ""
            elif re.match(r"[A-Za-z_]", line):
                head, begin = line, number
            elif head and line.startswith(" "):
                head += line
            else:
                head = ""
            if not inside and head.endswith("{"):
                inside = bool(_named(head)) and " = " not in head
                head = head if inside else ""
            elif not inside and head.endswith(";"):
                head = ""

    def prefixed(self, symbol: str, name: str) -> bool:
        """Whether an external name begins as the file that defines it, or as the header that declares it."""
        stems = {Path(name).stem, *(Path(header).stem for header in self._declaring(symbol))}
        stems |= {stem.rstrip("s") for stem in stems}
        return symbol.startswith(("pto_", "do_")) or any(symbol == s or symbol.startswith(f"{s}_") for s in stems)

    def _declaring(self, symbol: str) -> list[str]:
        word = re.compile(rf"^[a-z].*\b{symbol}[(\[;]", re.MULTILINE)
        return [name for name, text in self.texts.items() if name.endswith(".h") and word.search(text)]


def _named(head: str) -> str:
    """The name of the function whose head this is; "": it is none."""
    plain = re.sub(r"__attribute__\(\(.*?\)\)\)*", "", head)
    found = re.match(r"[^=(]*?(\w+)\(", plain)
    return found[1] if found and not plain.startswith(("struct {", "enum {", "union {")) else ""
