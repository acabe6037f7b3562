"""The package: what is built and installed, what it says where it cannot be built, how little it imports.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import platformdirs
import pytest
from support.box import ROOT_DIRECTORY as TOP

from ptoverlay import cli, extras, options
from ptoverlay.console import completions
from ptoverlay.sandboxes import names

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PTOVERLAY_"))}
# What a plain run must not pay for.
UNWANTED = {"argparse", "asyncio", "contextlib", "ctypes", "dataclasses", "inspect", "json", "logging", "pathlib",
            "psutil", "ptrace", "re", "shutil", "subprocess", "tempfile", "threading", "typing"}


def run(words: Sequence[str | Path], cwd: Path | None = None,
        environment: dict[str, str] = CLEAN) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=300, cwd=cwd,
                          env=environment)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree as a clone would have it."""
    copy = tmp_path_factory.mktemp("tree") / "ptoverlay"
    unwanted = shutil.ignore_patterns(".git", ".venv", "build", "*.so", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(TOP, copy, ignore=unwanted)
    return copy


def header_names() -> set[str]:
    text = (TOP / "csrc/ptoverlay.h").read_text().split("/* cdef begin */")[1].split("/* cdef end */")[0]
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found = re.findall(r"^#define (PTO_\w+)|\b(pto_\w+)\(", text, re.MULTILINE)
    return {name for pair in found for name in pair if name}


# ---- the core as Python sees it ----


@pytest.mark.quick
def test_stub_of_the_core_has_the_headers_names() -> None:
    stub = (TOP / "ptoverlay/_core.pyi").read_text()
    assert set(re.findall(r"^    (?:def )?(pto_\w+|PTO_\w+)\b", stub, re.MULTILINE)) == header_names()


@pytest.mark.quick
def test_core_has_the_headers_names() -> None:
    from ptoverlay._core import lib

    assert {name for name in dir(lib) if name.lower().startswith("pto_")} == header_names()


@pytest.mark.quick
def test_constants_of_the_options_are_the_headers() -> None:
    from ptoverlay._core import lib

    for name in ("READ_ONLY", "VOLATILE", "USERXATTR", "TEMPORARY", "NO_REDIRECT", "METACOPY", "TRUST", "NUMBERS",
                 "BASES", "DIRECT", "PLACE_READ_ONLY", "HIDDEN"):
        assert getattr(options, name) == getattr(lib, f"PTO_{name}"), name
    assert options.TRAPS == {"auto": lib.PTO_TRAP_AUTO, "ptrace": lib.PTO_TRAP_PTRACE, "notify": lib.PTO_TRAP_NOTIFY}


@pytest.mark.quick
def test_trace_record_is_laid_out_as_in_the_core() -> None:
    from ptoverlay._core import ffi
    from ptoverlay.reports import trace

    assert trace.RECORD.size == ffi.sizeof("struct pto_trace")
    fields = ("nanoseconds", "args", "value", "pid", "nr", "verdict", "path_length")
    assert [ffi.offsetof("struct pto_trace", name) for name in fields] == [0, 8, 56, 64, 68, 72, 76]


@pytest.mark.quick
def test_a_plain_run_imports_little() -> None:
    start = "import sys; from ptoverlay.__main__ import main; main(); print(*sys.modules, file=sys.stderr)"
    done = run([sys.executable, "-S", "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; {start}", "--", "true"])
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "ptoverlay" in loaded, done.stderr
    assert loaded & UNWANTED == set()


def test_who_joins_a_sandbox_imports_little(tmp_path: Path) -> None:
    """What it asks and is told is JSON; all else is the supervisor's."""
    start = "import sys; from ptoverlay.__main__ import main; main(); print(*sys.modules, file=sys.stderr)"
    words: list[str | Path] = [sys.executable, "-S", "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; {start}",
             "--name", "one", "-l", tmp_path, "-C", "/", "--", "true"]
    done = run(words, environment={**CLEAN, "XDG_STATE_HOME": str(tmp_path / "state")})
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "json" in loaded, done.stderr
    assert loaded & (UNWANTED - {"contextlib", "json", "re"}) == set()


@pytest.mark.parametrize("named", [None, "", " ", "/state", "state"])
def test_where_sandboxes_are(named: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    if named is not None:
        monkeypatch.setenv("XDG_STATE_HOME", named)
    said = platformdirs.user_state_dir("ptoverlay", appauthor=False, use_site_for_root=not named)
    assert names.sandboxes_path() == f"{said}/sandboxes"


# ---- building and installing ----


@pytest.fixture(scope="session")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of what tools/prepare has compiled."""
    directory, compiled = tmp_path_factory.mktemp("wheel"), TOP / ".venv/core/objects"
    if compiled.is_dir():
        shutil.copytree(compiled, tree / f"build/temp.{sysconfig.get_platform()}-{sys.implementation.cache_tag}")
    done = run([sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "-w", directory, tree])
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = directory.iterdir()
    return made


def test_wheel_serves_every_python_from_3_11(wheel: Path) -> None:
    assert re.fullmatch(r"ptoverlay-[\d.]+-cp311-abi3-linux_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for name in ("ptoverlay/_core.abi3.so", "ptoverlay/_core.pyi", "ptoverlay/py.typed", "ptoverlay/cli.py"):
        assert name in names
    assert not [name for name in names if not name.startswith("ptoverlay")]


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel in it."""
    place = tmp_path_factory.mktemp("installed") / "environment"
    venv.create(place, with_pip=False, symlinks=True)
    (site,) = place.glob("lib/python*/site-packages")
    # cffi and python-ptrace as they are in the environment of the tests; nothing is fetched
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    done = run([sys.executable, "-m", "pip", "--python", place / "bin/python", "install", "--no-deps", "--no-index",
                wheel])
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_installed_command_runs(installed: Path) -> None:
    place = installed
    commands: list[list[str | Path]] = [[place / "bin/ptoverlay"], [place / "bin/python", "-m", "ptoverlay"]]
    for words in commands:
        done = run([*words, "--", "sh", "-c", "echo ran; exit 3"], cwd=Path("/"))
        assert (done.stdout, done.stderr, done.returncode) == ("ran\n", "", 3)
    without = {**CLEAN, "PYTHONHOME": "/nonexistent"}
    assert run([place / "bin/ptoverlay", "--", "sh", "-c", "exit 5"], environment=without).returncode == 5
    where = run([place / "bin/python", "-c", "import ptoverlay._core as c; print(c.__file__)"], cwd=Path("/"))
    (site,) = place.glob("lib/python*/site-packages")
    assert where.stdout.startswith(str(site))


@pytest.mark.debian("man-db")
def test_man_finds_the_page_where_the_command_is_found(installed: Path) -> None:
    """Where PATH has the command man looks beside it: in environments, below ~/.local, in /usr/local."""
    environment = {**CLEAN, "PATH": f"{installed}/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    environment.pop("MANPATH", None)
    done = run(["man", "-w", "ptoverlay"], environment=environment)
    assert (done.stdout, done.stderr) == (f"{installed}/share/man/man1/ptoverlay.1\n", "")


@pytest.mark.debian("bash-completion")
def test_bash_loads_the_installed_completions(installed: Path) -> None:
    """bash-completion finds them below a directory of XDG_DATA_DIRS, as /usr/local/share is, and ~/.local/share."""
    script = ("source /usr/share/bash-completion/bash_completion; _completion_loader ptoverlay; "
              "complete -p ptoverlay")
    for variables in ({"XDG_DATA_DIRS": f"{installed}/share"}, {"XDG_DATA_HOME": f"{installed}/share"}):
        done = run(["bash", "-c", script], environment={**CLEAN, **variables})
        assert done.stdout == "complete -o bashdefault -o default -F _ptoverlay ptoverlay\n", done.stderr


def test_completions_of_all_shells_are_installed(installed: Path) -> None:
    for shell, name in completions.FILES.items():
        assert (installed / "share" / name).read_text() == completions.text(shell)


def test_source_distribution_has_all_that_it_takes(tree: Path, tmp_path: Path) -> None:
    done = run([sys.executable, "setup.py", "-q", "sdist", "-d", tmp_path], cwd=tree)
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    tracked = run(["git", "ls-files"], cwd=TOP)
    if tracked.returncode == 0:
        missing = set(tracked.stdout.split()) - names
        assert missing <= {".gitignore", ".ci/run"}
    assert {"csrc/ptoverlay.h", "csrc/build.py", "setup.py", "tests/product/test_package.py", "LICENSE"} <= names


def sentence_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("ptoverlay: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_missing_compiler_is_told_in_one_sentence(tree: Path) -> None:
    done = run([sys.executable, "setup.py", "-q", "build_ext"], cwd=tree,
               environment={**CLEAN, "CC": "no-such-compiler -O2"})
    assert sentence_of(done) == ("ptoverlay: cannot be built: there is no C compiler (no-such-compiler); "
                                 "on Debian: apt-get install gcc libc6-dev")


def test_missing_compiler_is_the_last_word_of_pip(tree: Path) -> None:
    """pip asks for what a build requires first, and ends with what of it cannot be: also pipx shows that last."""
    done = run([sys.executable, "-c", "import setuptools.build_meta as b; print(b.get_requires_for_build_wheel())"],
               cwd=tree, environment={**CLEAN, "CC": "no-such-compiler"})
    assert done.stdout.strip().splitlines()[-1] == repr([
        "setuptools===there-is-no-C-compiler-no-such-compiler-on-Debian:-apt-get-install-gcc-libc6-dev"])
    good = run([sys.executable, "-c", "import setuptools.build_meta as b; print(b.get_requires_for_build_wheel())"],
               cwd=tree)
    assert "===" not in good.stdout


def test_missing_headers_are_told_in_one_sentence(tree: Path) -> None:
    start = ("import runpy, sys, sysconfig; get = sysconfig.get_path; "
             "sysconfig.get_path = lambda name, *a, **k: '/nonexistent' if name == 'include' else get(name, *a, **k); "
             "sys.argv = ['setup.py', '-q', 'build_ext']; runpy.run_path('setup.py', run_name='__main__')")
    done = run([sys.executable, "-c", start], cwd=tree)
    assert sentence_of(done) == ("ptoverlay: cannot be built: there is no /nonexistent/Python.h; "
                                 "on Debian: apt-get install python3-dev")


def test_core_that_is_not_built_is_told_in_one_line(tree: Path) -> None:
    path = [str(tree), *(path for path in sys.path if path.endswith(("-packages", "lib-dynload")) or "python3" in path)]
    done = run([sys.executable, "-S", "-P", "-c", f"import sys; sys.path[:] = {path!r}; "
                "from ptoverlay.__main__ import main; sys.exit(main())", "true"])
    assert done.returncode == 125
    assert re.fullmatch(r"ptoverlay: the compiled core: .* \(install again .*\)\n", done.stderr)


# ---- what is not on every machine ----

#: What came with a glibc newer than 2.17, and has a place of its own in csrc/arch/libc.h.
STAND_INS = {"statx", "renameat2", "memfd_create", "getrandom", "copy_file_range", "gettid", "reallocarray"}
#: What moved into libc.so.6 or was named anew in a newer one, and is in 2.17 under the same name in C.
MOVED = re.compile(r"pthread_\w+|sem_\w+|dl\w+|[fl]?stat(64)?|fstatat(64)?|mknod(at)?|fcntl64|__libc_start_main|"
                   r"mq_\w+|__isoc23_\w+")


@pytest.mark.quick
def test_core_asks_the_c_library_for_nothing_that_old_ones_lack() -> None:
    """Or csrc/arch/libc.h has it: so wheels run with glibc 2.17.  tools/wheels has auditwheel look at the wheels."""
    from ptoverlay import _core

    done = run(["nm", "-D", "--undefined-only", _core.__file__])
    asked = re.findall(r" U (\w+)@GLIBC_2\.(\d+)", done.stdout)
    assert ("open", "2") in asked or ("openat", "4") in asked
    newer = {name for name, minor in asked if int(minor) > 17 and not MOVED.fullmatch(name)}
    assert newer <= STAND_INS, "not in glibc 2.17, nor in csrc/arch/libc.h"
    text = (TOP / "csrc/arch/libc.h").read_text()
    assert set(re.findall(r"^#define (\w+)\(", text, re.MULTILINE)) == STAND_INS


@pytest.mark.quick
def test_python_asks_the_c_library_for_nothing_that_old_ones_lack() -> None:
    """By ctypes: what has no function in all of them is called by number."""
    asked = {name for path in (TOP / "ptoverlay").rglob("*.py")
             for name in re.findall(r"\b_(?:libc|LIBC)\.(\w+)", path.read_text())}
    assert asked == {"ioctl", "personality", "prctl", "syncfs", "syscall"}


WITHOUT = ("import sys; sys.modules.update(dict.fromkeys({names!r})); from ptoverlay.__main__ import command; "
           "sys.exit(command(sys.argv[1:]))")


def without_extras(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command where none of the packages is installed that setup.cfg has as extras."""
    names = [extra.module for extra in extras.EXTRAS.values()]
    environment = {**CLEAN, "XDG_STATE_HOME": str(tmp_path)}
    path = os.pathsep.join([str(TOP), environment.get("PYTHONPATH", "")])
    return run([sys.executable, "-P", "-c", WITHOUT.format(names=names), *words], cwd=tmp_path,
               environment={**environment, "PYTHONPATH": path})


@pytest.mark.quick
def test_extras_are_those_of_setup_cfg() -> None:
    config = configparser.ConfigParser()
    config.read(TOP / "setup.cfg")
    given = {name: re.split(" |;", text.strip())[0] for name, text in config["options.extras_require"].items()}
    packages = {name: extra.package for name, extra in extras.EXTRAS.items()}
    assert {name: given[name] for name in extras.EXTRAS} == packages
    together = {re.split(" |;", line)[0] for line in config["options.extras_require"]["all"].strip().splitlines()}
    assert together == set(packages.values()) - {"mcp"}
    assert set(given) - {"all", "test"} == set(extras.EXTRAS)
    core = {line.split()[0] for line in config["options"]["install_requires"].strip().splitlines()}
    assert core == {"cffi", "merge3", "pathspec", "platformdirs"}


def test_a_missing_extra_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old\n")
    layer = ["-l", str(tmp_path), "-m", str(tmp_path)]
    told = {"trace": ["run", *layer, "--trace", "out", "--", "touch", "ran"],
            "report": ["run", *layer, "--report", "out", "--", "touch", "ran"],
            "mcp": ["serve", "--mcp", "new"], "zstd": ["export", "trial", "-o", "out.tar.zst"]}
    if sys.version_info >= (3, 14):
        del told["zstd"]  # Python's own
    done = without_extras(tmp_path, "run", "--name", "trial", *layer, "--", "sh", "-c", "echo new >f; echo done")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    for extra, words in told.items():
        done = without_extras(tmp_path, *words)
        assert done.returncode == 125
        assert re.fullmatch(rf"ptoverlay: .*: {extras.EXTRAS[extra].package} is not installed "
                            rf"\(pip install 'ptoverlay\[{extra}\]'\)\n", done.stderr), done.stderr
    done = without_extras(tmp_path, "log", "trial", "--html", "out")
    assert done.stderr == "ptoverlay: --html: jinja2 is not installed (pip install 'ptoverlay[report]')\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "ptoverlay"]
    for words in (["list"], ["export", "trial", "-o", "out.tar.gz"], ["stats", "trial"], ["commit", "trial"]):
        done = without_extras(tmp_path, *words)
        assert (done.returncode, done.stderr) == (0, ""), words
    assert (tmp_path / "f").read_text() == "new\n"


# ---- tools ----


def test_tools_run_runs_from_anywhere() -> None:
    done = run([TOP / "tools/run", "--", "sh", "-c", "pwd; exit 3"], cwd=Path("/usr"))
    assert (done.stdout, done.returncode) == ("/usr\n", 3)
    assert done.stderr == ""


@pytest.mark.parametrize("tool", ["run", "prepare", "test", "lint", "bench", "fuzz", "apt", "wheels", "vm",
                                  "pythons", "filesystems", "../.ci/run"])
def test_tools_are_sound_shell(tool: str) -> None:
    path = TOP / "tools" / tool
    assert os.access(path, os.X_OK)
    assert run(["sh", "-n", path]).returncode == 0


def bare_tree(tree: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A copy with an environment, on a PATH without a compiler; tools/apt only writes down what it is to
    install."""
    top, path = tmp_path / "copy", tmp_path / "bin"
    shutil.copytree(tree, top)
    path.mkdir()
    for name in ("sh", "env", "cat", "dirname", "readlink", "find", "touch", "id", "flock", "mktemp", "rm", "apt-get"):
        (path / name).symlink_to(str(shutil.which(name)))
    (top / "tools/apt").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
    venv.create(top / ".venv", with_pip=False, symlinks=True)
    (site,) = (top / ".venv").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text("\n".join(each for each in sys.path if each.endswith("-packages")))
    (top / ".venv/made-for").write_text(f"{top}\n")
    for stamp in ("requirements", "requirements-test", "installed"):
        (top / ".venv" / stamp).touch()
    return top, {**{name: value for name, value in CLEAN.items() if name != "CC"}, "PATH": str(path)}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_first_start_installs_the_compiler(tree: Path, tmp_path: Path) -> None:
    """As root; where that does not help the last line says what to do. An ordinary user is told so at once."""
    top, environment = bare_tree(tree, tmp_path)
    done = run([top / "tools/run", "--", "true"], environment=environment)
    assert (tmp_path / "asked").read_text() == "gcc libc6-dev python3-dev\n"
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == "ptoverlay: installing gcc libc6-dev python3-dev"
    assert "apt-get install gcc libc6-dev" in done.stderr.splitlines()[-1]
    (tmp_path / "asked").unlink()
    done = run([top / "tools/run", "--", "true"], environment={**environment, "CC": "no-such-compiler"})
    assert (done.returncode, done.stderr) == (
        125, "ptoverlay: no C compiler: apt-get install gcc libc6-dev python3-dev\n")
    assert not (tmp_path / "asked").exists()


def test_chosen_tests_need_few_packages(tmp_path: Path) -> None:
    """The list that tools/test installs: of the quick ones and of one file."""
    for words, wanted in ((["-m", "quick"], set()), (["tests/product/test_report.py"], {"chromium"}),
                          (["tests/product/test_completion.py", "-k", "zsh"], {"zsh"})):
        file = tmp_path / "list"
        run([sys.executable, "-m", "pytest", "--collect-only", "-q", "--needed-packages", file, *words], cwd=TOP)
        usual = {"e2fsprogs", "gcc", "libc6-dev", "linux-libc-dev", "mount", "util-linux"}
        needed = set(file.read_text().split()) - usual
        assert needed == wanted, words


# ---- documents ----


@pytest.mark.quick
def test_every_option_is_documented() -> None:
    text = (TOP / "docs/options.rst").read_text()
    for option in cli.OPTIONS:
        names = [f"--{option.long}"] * bool(option.long) + [f"-{option.short}"] * bool(option.short)
        assert re.search(rf"^``{', '.join(reversed(names))}( |``)", text, re.MULTILINE), names


@pytest.mark.quick
def test_license_is_gpl_2() -> None:
    text = (TOP / "LICENSE").read_text()
    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "Version 2, June 1991" in text


@pytest.mark.quick
@pytest.mark.parametrize("pattern", ["csrc/**/*.[ch]", "csrc/*.py", "ptoverlay/**/*.py*", "ptoverlay/reports/*",
                                     "tests/**/*.py", "tests/subjects/*.[ch]", "tools/*", "tools/bench.d/*.c"])
def test_every_source_names_its_license(pattern: str) -> None:
    ours = [path for path in TOP.glob(pattern) if path.is_file() and path.suffix not in (".txt", ".typed", ".pyc")]
    assert ours
    assert [path for path in ours if "SPDX-License-Identifier: GPL-2.0-or-later" not in path.read_text()] == []
