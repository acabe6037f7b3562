"""What tools/builds runs: Debian source packages, each built natively and by `ptoverlay build`, compared bit for bit.

    tools/builds [NAME…]            prints what differs, and the table (default: all of tools/builds.d/packages)
    tools/builds --record FILE      writes the table there, as text for docs/, of all that was built with these sources
                                    by now (--sources DIR); a package that is built again is told anew

Each build is done in two places that differ as reprotest makes them differ: the time (400 days, by faketime),
directory, file system and order of listings, HOME, PATH, user's and host's name, locale, time zone, umask, number of
CPUs, other variables.  Six builds a package: twice natively, twice natively with SOURCE_DATE_EPOCH alone, twice by
ptoverlay build (which is not given the other time, since faketime is a library in the environment).  Compared is what
is installed: names, kinds, modes, bytes and targets, and by ptoverlay build times, too.

A line of `packages` is a source package or a project of ours (builds.d/projects), a kind, and variables for it; a kind
is a script (tools/builds.d/KIND.sh) that makes `stage`; the head of the script names the Debian packages that it needs.

Rules: all builds are an ordinary user's; a package that cannot be had or does not build natively is named with the
reason and not counted.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import shlex
import shutil
import stat
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parent.parent
RECIPES = Path(__file__).with_suffix(".d")
USER = 65534
TIMEOUT = 600
EPOCH = "1000000000"
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
LATER = "+400d"


class NotHere(Exception):
    """Why a package cannot be tried on this machine."""


@dataclass(frozen=True)
class Recipe:
    """One line of `packages`.  script: what the kind does; needs: Debian packages."""

    source: str
    kind: str
    script: str
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.source} ({self.kind})"

    @classmethod
    def read(cls, line: str) -> Recipe:
        source, kind, *variables = shlex.split(line)
        lines = (RECIPES / f"{kind}.sh").read_text().splitlines()
        needs = next(line for line in lines if line.startswith("# packages: ")).split()[2:]
        settings = [f"{name}={shlex.quote(value)}" for name, value in (word.split("=", 1) for word in variables)]
        return cls(source, kind, "\n".join([*settings, *lines]), tuple(needs))


def recipes() -> list[Recipe]:
    lines = (RECIPES / "packages").read_text().splitlines()
    return [Recipe.read(line) for line in lines if line and not line.startswith("#")]


# ---- sources ----


class Sources:
    """Debian source packages below a directory, each fetched once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "apt.conf"

    def prepare(self) -> None:
        """Lists of our own: those of the machine have no sources as a rule, and stay as they are."""
        for name in ("lists/partial", "cache/archives/partial", "unpacked"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "sources.list").write_text("deb-src http://deb.debian.org/debian bookworm main\n")
        self.config.write_text(
            f'Dir::Etc::sourcelist "{self.directory}/sources.list";\nDir::Etc::sourceparts "-";\n'
            f'Dir::State::lists "{self.directory}/lists";\nDir::Cache "{self.directory}/cache";\n'
            'APT::Sandbox::User "root";\n')
        self._apt("update")

    def get(self, name: str) -> Path:
        """Its unpacked tree, with Debian's patches; NotHere."""
        if name.startswith("own-"):
            return RECIPES / "projects" / name
        place = self.directory / "unpacked" / name
        if not place.is_dir():
            shutil.rmtree(self.directory / "new", ignore_errors=True)
            (self.directory / "new").mkdir()
            self._apt("source", name)
            trees = [path for path in (self.directory / "new").iterdir() if path.is_dir()]
            trees[0].rename(place)
        return place

    def _apt(self, *words: str) -> None:
        done = subprocess.run(["apt-get", "-qq", *words], cwd=self.directory / "new" if words[0] == "source" else "/",
                              env={**os.environ, "APT_CONFIG": str(self.config)}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if done.returncode:
            raise NotHere(f"apt-get {words[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")


def is_installed(package: str) -> bool:
    done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True, check=False)
    return done.stdout == b"installed"


def install(packages: Sequence[str]) -> None:
    """NotHere where one is not to be had."""
    missing = [name for name in packages if not is_installed(name)]
    if missing and subprocess.run([TOP / "tools/apt", *missing], stdin=subprocess.DEVNULL, capture_output=True,
                                  check=False).returncode:
        raise NotHere(f"no package of {' '.join(missing)} to be had")


# ---- one build ----


class Item(NamedTuple):
    """What was made at a path.  text: of a symlink its target, of a file its digest."""

    mode: int
    text: str
    mtime_ns: int


@dataclass
class Built:
    """What one build has made, by path, and what it took, in seconds."""

    items: dict[str, Item] = field(default_factory=dict)
    stage: Path = Path()
    wall: float = 0
    cpu: float = 0


@dataclass(frozen=True)
class Place:
    """What surrounds a build."""

    tree: str
    base: Path
    umask: int
    environment: dict[str, str]
    first: tuple[str, ...] = ()
    backwards: bool = False

    def words(self, command: list[str], later: bool) -> list[str]:
        if self.backwards and later:
            command = ["faketime", "-f", LATER, *command]
        return [*self.first, "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *command]


def places(base: Path, memory: Path) -> tuple[Place, Place]:
    """base, memory: directories, of which the second one may be on another file system."""
    one = {"LANG": "C", "TZ": "UTC", "HOME": f"{base}/home", "USER": "one", "LOGNAME": "one", "PATH": PATH,
           "TERM": "dumb"}
    other = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "HOME": f"{memory}/another-home",
             "USER": "other", "LOGNAME": "other", "PATH": f"{memory}/no-such-bin:{PATH}", "TERM": "xterm",
             "COLUMNS": "132", "CAPTURE_ENVIRONMENT": "1"}
    return (Place("a/src", base, 0o022, one),
            Place("another/place/of/the-tree", memory, 0o002, other, backwards=True,
                  first=("unshare", "--uts", "sh", "-c", 'hostname other && exec taskset -c 0 "$@"', "sh")))


def copy_tree(source: Path, target: Path, backwards: bool) -> None:
    """Files keep their times and modes; names are made in an order or in the other."""
    target.mkdir(parents=True)
    for path in sorted(source.iterdir(), reverse=backwards):
        copy = target / path.name
        if path.is_dir() and not path.is_symlink():
            copy_tree(path, copy, backwards)
        else:
            shutil.copy2(path, copy, follow_symlinks=False)
            os.lchown(copy, USER, USER)
    shutil.copystat(source, target)
    os.chown(target, USER, USER)


def items_of(stage: Path) -> dict[str, Item]:
    found = {}
    for path in stage.rglob("*"):
        status = path.lstat()
        text = ""
        if stat.S_ISLNK(status.st_mode):
            text = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            text = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(stage))] = Item(status.st_mode, text, status.st_mtime_ns)
    return found


class Tried(Exception):
    """A build has failed; its last words."""


def build(recipe: Recipe, tree: Path, place: Place, way: str, area: Path) -> Built:
    """way: "native", "epoch" or "here"; area: for what ptoverlay build makes.  Tried."""
    own = Path(tempfile.mkdtemp(prefix=f"{way}-", dir=place.base))
    own.chmod(0o755)
    top = own / place.tree
    copy_tree(tree, top, place.backwards)
    environment = dict(place.environment)
    home = Path(environment["HOME"])
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    os.chown(home, USER, USER)
    command = ["sh", "-euc", recipe.script]
    stage = top / "stage"
    if way == "epoch":
        environment["SOURCE_DATE_EPOCH"] = EPOCH
    elif way == "here":
        made = Path(tempfile.mkdtemp(prefix="made-", dir=area))
        os.chown(made, USER, USER)
        upper = made / "upper"
        stage = upper / "stage"
        command = [str(TOP / ".venv/bin/ptoverlay"), "build", "--epoch", EPOCH, "-u", str(upper), "--", *command]
    log = own / "log"
    began = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(place.words(command, way != "here"), cwd=top, env=environment, umask=place.umask,
                                   stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    built = Built(items_of(stage) if stage.is_dir() else {}, stage, time.monotonic() - began,
                  usage.ru_utime + usage.ru_stime)
    if process.returncode or not built.items:
        words = " ".join(log.read_text(errors="replace").split())[-300:]
        raise Tried(f"status {process.returncode}: {words or 'nothing said'}")
    return built


def differing(one: Built, other: Built, times: bool) -> list[str]:
    """Paths that are not the same in both, each with what is not."""
    told = []
    for path in sorted({*one.items, *other.items}):
        here, there = one.items.get(path), other.items.get(path)
        if here is None or there is None:
            told.append(f"{path}: made once")
        elif here.text != there.text:
            told.append(f"{path}: {first_difference(one.stage / path, other.stage / path)}")
        elif here.mode != there.mode:
            told.append(f"{path}: mode {here.mode:o}, {there.mode:o}")
        elif times and here.mtime_ns != there.mtime_ns:
            told.append(f"{path}: times {here.mtime_ns}, {there.mtime_ns}")
    return told


def first_difference(one: Path, other: Path) -> str:
    if one.is_symlink() or other.is_symlink():
        return "another target"
    a, b = one.read_bytes(), other.read_bytes()
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"byte {at}: {a[max(at - 8, 0):at + 16]!r} / {b[max(at - 8, 0):at + 16]!r}"


# ---- all of them ----


@dataclass
class Outcome:
    """By way what differs; wall and cpu: as ratios of ptoverlay build to the native builds with SOURCE_DATE_EPOCH."""

    files: int
    told: dict[str, list[str]]
    seconds: float
    wall: float
    cpu: float


def examine(recipe: Recipe, tree: Path, base: Path, memory: Path) -> Outcome:
    """NotHere where it does not build natively; Tried where it does not build here."""
    both = places(base, memory)
    made: dict[str, list[Built]] = {}
    for way in ("native", "epoch", "here"):
        try:
            made[way] = [build(recipe, tree, place, way, base) for place in both]
        except Tried as error:
            if way != "here":
                raise NotHere(f"natively {error}") from error
            raise
    told = {way: differing(pair[0], pair[1], way == "here") for way, pair in made.items()}

    def ratio(of: Callable[[Built], float]) -> float:
        return sum(map(of, made["here"])) / max(sum(map(of, made["epoch"])), 0.01)

    return Outcome(len(made["here"][0].items), told, sum(one.wall for one in made["epoch"]),
                   ratio(lambda one: one.wall), ratio(lambda one: one.cpu))


def words(told: list[str]) -> str:
    return f"{len(told)} differ" if told else "equal"


def table(results: dict[Recipe, Outcome | str], absent: dict[str, str]) -> str:
    """As reStructuredText."""
    rows = [["package", "kind", "made", "natively", "with the epoch", "here", "time", "CPU"]]
    notes = []
    for recipe, outcome in results.items():
        if isinstance(outcome, str):
            rows.append([recipe.source, recipe.kind, "-", "-", "-", "fails", "-", "-"])
            notes.append(f"- {recipe.name}: {' '.join(outcome.split())}")
            continue
        rows.append([recipe.source, recipe.kind, str(outcome.files),
                     *(words(outcome.told[way]) for way in ("native", "epoch", "here")),
                     f"{outcome.wall:.1f}", f"{outcome.cpu:.1f}"])
        notes += [f"- {recipe.name}: ``{line}``" for line in outcome.told["here"][:3]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    reasons: dict[str, list[str]] = {" ".join(why.split()): [] for why in absent.values()}
    for name, why in absent.items():
        reasons[" ".join(why.split())].append(name)
    away = [f"- {', '.join(names)}: {why}" for why, names in reasons.items()]
    return "\n".join([*summary(results), "", rule, lines[0], rule, *lines[1:], rule, "",
                      *(["What is not equal here:", "", *notes, ""] if notes else []),
                      *(["Not tried:", "", *away, ""] if away else [])])


def summary(results: dict[Recipe, Outcome | str]) -> list[str]:
    done = [outcome for outcome in results.values() if isinstance(outcome, Outcome)]
    equal = {way: sum(not outcome.told[way] for outcome in done) for way in ("native", "epoch", "here")}
    kernel = os.uname().release.split("-")[0]
    return [f"Run on {datetime.date.today().isoformat()} by ``tools/builds`` under Linux {kernel}, on "
            f"{os.cpu_count()} CPUs with other work beside it: of {len(results)} builds",
            f"{equal['native']} are equal natively, {equal['epoch']} with SOURCE_DATE_EPOCH alone, {equal['here']} by "
            f"``ptoverlay build``;",
            f"in the median they took {statistics.median(one.wall for one in done):.1f} times as long as natively, and "
            f"{statistics.median(one.cpu for one in done):.1f} times the CPU time."] if done else []


class Kept:
    """Outcomes that runs have left in a file, one after the other."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.results: dict[str, Outcome | str] = {}
        self.absent: dict[str, str] = {}
        if file.exists():
            data = json.loads(file.read_text())
            self.absent = data["absent"]
            self.results = {name: one if isinstance(one, str) else Outcome(**one)
                            for name, one in data["results"].items()}

    def save(self) -> None:
        results = {name: one if isinstance(one, str) else asdict(one) for name, one in self.results.items()}
        self._file.write_text(json.dumps({"results": results, "absent": self.absent}, indent=1))

    def table(self) -> str:
        known = {recipe.name: recipe for recipe in recipes()}
        absent = {name: self.absent.get(name, "for want of time") for name in known if name not in self.results}
        return table({known[name]: one for name, one in self.results.items() if name in known}, absent)


def run(chosen: list[Recipe], sources: Sources, kept: Kept) -> bool:
    """Whether all of these were built and are equal here."""
    well = True
    memory_at = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    for recipe in chosen:
        base = Path(tempfile.mkdtemp(prefix="builds-", dir="/var/tmp"))
        memory = Path(tempfile.mkdtemp(prefix="builds-", dir=memory_at))
        for path in (base, memory):
            path.chmod(0o755)
            os.chown(path, USER, USER)
        try:
            install(recipe.needs)
            outcome = examine(recipe, sources.get(recipe.source), base, memory)
            kept.results[recipe.name] = outcome
            well = well and not outcome.told["here"]
            print(f"{recipe.name}: {outcome.files} made; natively {words(outcome.told['native'])}, with the epoch "
                  f"{words(outcome.told['epoch'])}, here {words(outcome.told['here'])}; {outcome.seconds:.0f} s, "
                  f"{outcome.wall:.2f} times, CPU {outcome.cpu:.2f}", flush=True)
            for line in outcome.told["here"][:5]:
                print(f"    {line}", flush=True)
        except NotHere as why:
            kept.absent[recipe.name] = str(why)
            print(f"{recipe.name}: not here: {why}", flush=True)
        except Tried as why:
            kept.results[recipe.name] = str(why)
            well = False
            print(f"{recipe.name}: fails: {why}", flush=True)
        finally:
            subprocess.run(["rm", "-rf", base, memory], check=False)
        kept.save()
    return well


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/builds")
    known = recipes()
    parser.add_argument("names", nargs="*", metavar="NAME", help="source packages or kinds (default: all)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--sources", type=Path, default=Path("/var/tmp/ptoverlay-builds"), metavar="DIR",
                        help="where sources are kept (default: %(default)s)")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - {name for recipe in known for name in (recipe.source, recipe.kind)}:
        parser.error(f"no such package or kind: {', '.join(sorted(unknown))}")
    chosen = [recipe for name in options.names for recipe in known if name in (recipe.source, recipe.kind)] or known
    sources = Sources(options.sources)
    install(["faketime", "dpkg-dev"])
    sources.prepare()
    kept = Kept(options.sources / "outcomes.json")
    well = run(chosen, sources, kept)
    if options.record:
        options.record.write_text(kept.table())
    else:
        print(kept.table())
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
