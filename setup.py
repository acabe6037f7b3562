"""Builds the core.  Everything that can be said without code is in setup.cfg and pyproject.toml.

Rules: what is missing on the machine is told in one sentence with its remedy, before a compiler gets to
print pages; only what changed is compiled again.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import re
import runpy
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext

from distutils.command.build_scripts import build_scripts  # isort: skip
from distutils.command.install_data import install_data  # isort: skip  (after setuptools, which has it)


def missing() -> str:
    """What this machine lacks to build a C extension, with the remedy; "" if it lacks nothing."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler}); on Debian: apt-get install gcc libc6-dev"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        return f"there is no {header}; on Debian: apt-get install python3-dev"
    if not Path("/usr/include/stdio.h").exists() and not os.environ.get("CC"):
        return "there are no headers of the C library; on Debian: apt-get install libc6-dev"
    return ""


class BuildCore(build_ext):
    """Compiles the changed files of the core, several at a time.

    PTOVERLAY_BUILD names a directory in which what is made on the way stays, for the next time.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        kept = os.environ.get("PTOVERLAY_BUILD")
        if kept:
            self.build_temp = os.path.join(kept, "objects")
            self.build_lib = os.path.join(kept, "lib")

    def run(self) -> None:
        why = missing()
        if why:
            raise SystemExit(f"ptoverlay: cannot be built: {why}")
        super().run()

    def build_extension(self, ext: Any) -> None:
        self.compiler.compile = self._compile_changed
        super().build_extension(ext)
        self._link_command(ext)

    def command(self) -> Path:
        """Where the command ptoverlay is made."""
        return Path(self.build_temp, "ptoverlay")

    def _link_command(self, ext: Any) -> None:
        """Its symbols are to be found by the module that it loads."""
        source = str(runpy.run_path("csrc/build.py")["command"]())
        objects = self._compile_changed([source], self.build_temp, ext.define_macros, ext.include_dirs,
                                        bool(self.debug), extra_postargs=ext.extra_compile_args)
        if older(str(self.command()), [*objects, __file__]):
            self.compiler.link_executable(objects, "ptoverlay", self.build_temp, libraries=["dl", "pthread"],
                                          extra_postargs=["-rdynamic", *os.environ.get("LDFLAGS", "").split()])

    def _compile_changed(self, sources: list[str], output_dir: str | None = None, macros: Any = None,
                         include_dirs: Any = None, debug: bool = False, extra_preargs: Any = None,
                         extra_postargs: Any = None, depends: Iterable[str] = ()) -> list[str]:
        """CCompiler.compile(), but for objects that are newer than their source and all that it may include."""
        compiler: Any = self.compiler
        macros, objects, postargs, cpp, build = compiler._setup_compile(
            output_dir, macros, include_dirs, sources, list(depends), extra_postargs)
        common = [*depends, __file__]
        stale = [obj for obj in objects if older(obj, [build[obj][0], *common])]
        arguments = compiler._get_cc_args(cpp, debug, extra_preargs)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(lambda obj: compiler._compile(obj, *build[obj], arguments, postargs, cpp), stale):
                pass
        return list(objects)


class BuildScripts(build_scripts):
    """The command ptoverlay, which is no script."""

    def run(self) -> None:
        self.run_command("build_ext")
        core: Any = self.get_finalized_command("build_ext")
        made = core.command()
        target = Path(self.build_dir, made.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(made, target)


class InstallData(install_data):
    """Also the man page, which is made of the docs here, so that it is never another version's."""

    def run(self) -> None:
        page = Path(self.get_finalized_command("build").build_temp, "ptoverlay.1")
        try:
            text = runpy.run_path(str(Path(__file__).with_name("tools") / "manual.py"))["page"]()
        except ModuleNotFoundError as error:  # where setup.py is run by hand
            print(f"ptoverlay: without the man page: {error}", file=sys.stderr)
        else:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_bytes(text)
            self.data_files.append(("share/man/man1", [str(page)]))
        super().run()


def older(path: str, others: Iterable[str]) -> bool:
    """Whether the file is missing or older than one of the others."""
    if not os.path.exists(path):
        return True
    time = os.stat(path).st_mtime_ns
    return any(os.stat(other).st_mtime_ns > time for other in others)


def last_word() -> list[str]:
    """A requirement that nothing meets, where the core cannot be built: pip asks for requirements first, and what it
    says last is what it cannot get, so that the remedy is the last line of pip and of pipx."""
    return [f"setuptools==={re.sub('[ ,;()]+', '-', why)}"] if (why := missing()) else []


asked = "egg_info" in sys.argv and "PTOVERLAY_BUILD" not in os.environ
setup(cffi_modules=["csrc/build.py:builder"], scripts=["csrc/front/main.c"],
      cmdclass={"build_ext": BuildCore, "build_scripts": BuildScripts, "install_data": InstallData},
      setup_requires=last_word() if asked else [])
