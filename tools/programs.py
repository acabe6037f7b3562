"""What tools/programs runs: the work of the real programs of tools/programs.d/, in a plain copy and in a view, as root,
as an ordinary user and as a user who sees himself as root, by both traps.

    tools/programs [NAME…]          prints what differs, and the table (default: all)
    tools/programs --record FILE    writes the table there, as text for docs/

A program is a script: its head says what it does and needs (`# key: value`), the part `# prepare` makes the lower, the
part `# run` is compared: status, output, the tree that it leaves. A line of a head is one of

    what      one line for the table
    packages  of Debian; commands: it is there when these are
    env       NAME=VALUE…
    users     root, user, fake: who can do it at all (default: all); traps: by which
    ignore    a pattern of paths that differ from one run to the next
    timeout   seconds (default: 100)

Rules: a program that cannot be had is named with the reason; the lower is compared with what it was after each run.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PROGRAMS = Path(__file__).with_suffix(".d")
sys.path.insert(0, str(TOP / "tests"))

from support.box import traps  # noqa: E402
from support.oracle import ROOT, USER, Done, Who, as_user, run  # noqa: E402
from support.snapshot import TREE, assert_equal  # noqa: E402
from support.subjects import Subjects  # noqa: E402
from support.world import World  # noqa: E402

TIMEOUT = 100
FAKE = "fake root"


class NotHere(Exception):
    """Why a program cannot be tried on this machine."""


@dataclass(frozen=True)
class Program:
    """One file of tools/programs.d.  head: by key."""

    name: str
    head: dict[str, str]
    prepare: str
    run: str

    @classmethod
    def read(cls, path: Path) -> Program:
        head: dict[str, str] = {}
        parts: dict[str, list[str]] = {"prepare": [], "run": []}
        part = ""
        for line in path.read_text().splitlines():
            key, colon, value = line.removeprefix("# ").partition(": ")
            if line in ("# prepare", "# run"):
                part = line[2:]
            elif part:
                parts[part].append(line)
            elif line.startswith("# ") and colon:
                head[key] = value
        return cls(path.stem, head, "\n".join(parts["prepare"]), "\n".join(parts["run"]))

    def words(self, key: str) -> list[str]:
        return shlex.split(self.head.get(key, ""))

    def environment(self, home: Path) -> dict[str, str]:
        path = ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        path += [str(Path(found).parent) for found in map(shutil.which, self.words("commands")) if found]
        return {"PATH": ":".join(path), "HOME": str(home), "TMPDIR": str(home), "LC_ALL": "C.UTF-8",
                **dict(word.split("=", 1) for word in self.words("env"))}

    def install(self) -> None:
        """NotHere where a package cannot be installed."""
        commands = self.words("commands")
        if commands and all(map(shutil.which, commands)):
            return
        packages = [name for name in self.words("packages") if not is_installed(name)]
        if packages and subprocess.run([TOP / "tools/apt", *packages], stdin=subprocess.DEVNULL, capture_output=True,
                                       check=False).returncode:
            raise NotHere(f"no package of {' '.join(packages)} to be had")


def is_installed(package: str) -> bool:
    done = run(["dpkg-query", "-W", "-f", "${Status}", package])
    return done.out == "install ok installed"


def sh(text: str) -> list[str]:
    return ["/bin/sh", "-euc", text]


def differences(program: Program, world: World, fake: bool) -> list[str]:
    """One run beside itself; what is not the same."""
    timeout = float(program.head.get("timeout", TIMEOUT))
    environment = program.environment(world.home)
    lower = world.add_lower()
    made = run([*as_user(world.who), *sh(program.prepare)], cwd=lower, env=environment, timeout=timeout)
    if made.status:
        raise NotHere(f"not prepared: {(made.err.strip() or made.out.strip() or 'nothing said')[-200:]}")
    world.fill_plain()
    world.freeze()
    plain, box = world.plain(), world.box(*(["--fake-root"] if fake else []))
    if fake:   # beside root, over what is his
        plain.who = ROOT
        subprocess.run(["chown", "-Rh", "0:0", world.plain_directory], check=True)
    expected: Done = plain.run(sh(program.run), env=environment, timeout=timeout)
    if expected.status:
        raise NotHere(f"natively status {expected.status}: {' '.join(expected.err.split())[-200:]}")
    for name in os.listdir(world.home):
        subprocess.run(["rm", "-rf", world.home / name], check=False)
    found = box.run(sh(program.run), env=environment, timeout=timeout)
    told = [f"status {found.status} for {expected.status}"] if found.status != expected.status else []
    told += [f"output {found.out[-200:]!r} for {expected.out[-200:]!r}"] if found.out != expected.out else []
    if told:
        print(f"    its errors: {found.err[-600:]}", flush=True)
    try:
        world.assert_lowers_untouched()
        if not fake and not told:
            ignore = [program.head["ignore"]] if "ignore" in program.head else []
            assert_equal("the tree", plain.snapshot(), box.snapshot(), TREE, ignore=ignore)
    except AssertionError as error:
        told.append(str(error)[-300:])
    return told


def examine(program: Program, columns: list[tuple[str, Who, str]], subjects: Subjects, base: Path) -> dict[str, str]:
    """By column: "same", "-" where it is not for that user or trap, or what differs."""
    cells = {}
    for label, who, trap in columns:
        kind = label.rsplit(",", 1)[0]
        if kind.split()[0] not in program.head.get("users", "root user fake") or trap not in program.head.get(
                "traps", "ptrace notify"):
            cells[label] = "-"
            continue
        area = Path(tempfile.mkdtemp(prefix="p", dir=base))
        area.chmod(0o755)
        try:
            told = differences(program, World(area, subjects, who, trap), kind == FAKE)
        except AssertionError as error:
            told = [str(error)[-300:]]
        finally:
            subprocess.run(["rm", "-rf", area], check=False)
        cells[label] = "; ".join(told) or "same"
        print(f"{program.name}, {label}: {cells[label]}", flush=True)
    return cells


def table(results: dict[str, tuple[str, dict[str, str]]], columns: list[str], absent: dict[str, str]) -> str:
    """As reStructuredText."""
    rows = [["program", "what it does", *columns]]
    notes: list[str] = []
    for name, (what, cells) in results.items():
        row = [name, what]
        for column in columns:
            cell = cells[column]
            if cell not in ("same", "-"):
                notes.append(f"- {name} ({column}): {' '.join(cell.split())}")
                cell = "differs"
            row.append(cell)
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    kernel = os.uname().release.split("-")[0]
    head = (f"Run on {datetime.date.today().isoformat()} by ``tools/programs`` under Linux {kernel}: the same work in "
            "a plain copy and\nin a view; status, output and tree are compared.")
    away = [f"Not tried: {', '.join(f'{name} ({why})' for name, why in absent.items())}.", ""] if absent else []
    return "\n".join([head, "", rule, lines[0], rule, *lines[1:], rule, "",
                      *(["What is not the same:", "", *notes, ""] if notes else []), *away])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/programs")
    known = {path.stem: path for path in sorted(PROGRAMS.glob("*.sh"))}
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default: all)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--users", default="root,user,fake", help="of root, user and fake (default: all)")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(known):
        parser.error(f"no such program: {', '.join(sorted(unknown))}")
    kinds = {"root": ("root", ROOT), "user": ("user", USER), "fake": (FAKE, USER)}
    columns = [(f"{label}, {trap}", who, trap) for label, who in (kinds[word] for word in options.users.split(","))
               for trap in traps()]
    results: dict[str, tuple[str, dict[str, str]]] = {}
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="programs-", ignore_cleanup_errors=True) as name:
        base = Path(name)
        base.chmod(0o755)
        (base / "subjects").mkdir(mode=0o755)
        subjects = Subjects(base / "subjects")
        for program in (Program.read(known[name]) for name in options.names or known):
            try:
                program.install()
                results[program.name] = (program.head["what"], examine(program, columns, subjects, base))
            except NotHere as why:
                absent[program.name] = str(why)
                print(f"{program.name}: not here: {why}", flush=True)
    text = table(results, [label for label, _, _ in columns], absent)
    if options.record:
        options.record.write_text(text)
    else:
        print(text)
    return 0 if all(cell in ("same", "-") for _, cells in results.values() for cell in cells.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
