"""The pytest plugin: fixtures, marker, option, reports, with and without xdist.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY
from support.oracle import USER, as_user

pytest_plugins = ["pytester"]

VICTIM = """
    import os, pathlib, subprocess, sys
    import pytest

    HERE = pathlib.Path(__file__).parent
    VICTIM = HERE / "victim"

    def spoil(path=VICTIM):
        subprocess.run(["sh", "-c", f"echo spoilt >{path}"], check=True)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory with a file `victim`, in which tests are made; layers are made in another place."""
    layers = pytester.mkdir("layers")
    monkeypatch.setenv("TMPDIR", str(layers))
    (pytester.path / "victim").write_text("whole\n")
    return pytester


def run(project: pytest.Pytester, tests: str, *options: str, **outcomes: int) -> pytest.RunResult:
    """Runs the tests in a process of their own; the victim has to stay whole, and no layer may be left."""
    source = "\n".join(line[4:] for line in VICTIM.splitlines()) + "\n".join(
        line[4:] for line in tests.splitlines())
    (project.path / "test_made.py").write_text(source + "\n")
    result = project.runpytest_subprocess("-p", "no:cacheprovider", *options)
    result.assert_outcomes(**(outcomes or {"passed": 1}))
    assert (project.path / "victim").read_text() == "whole\n"
    assert [name for name in os.listdir(project.path / "layers") if name.startswith("ptoverlay-")] == []
    return result


def test_fixture(project: pytest.Pytester) -> None:
    run(project, """
    def test_it(overlay):
        overlay.run(["sh", "-c", f"echo spoilt >{VICTIM}; mkdir {HERE}/new"], check=True)
        assert overlay.changed.modified == {str(VICTIM)}
        assert overlay.changed.added == {f"{HERE}/new"}
        assert overlay.changed.all[str(VICTIM)].size == 7
        assert overlay.changed
        assert VICTIM.read_text() == "whole\\n"
    """)


def test_fixture_over_other_directories(project: pytest.Pytester) -> None:
    run(project, """
    @pytest.mark.parametrize("overlay", [{"lower": HERE / "layers"}], indirect=True)
    def test_it(overlay, make_overlay):
        assert overlay.mount == str(HERE / "layers")
        other = make_overlay(HERE, HERE / "upper")
        other.run(["mv", "victim", "gone"], cwd=HERE, check=True)
        assert other.changed.renamed == {str(VICTIM): f"{HERE}/gone"}
        assert not overlay.changed
    """)


def test_marker_catches_what_starts_processes(project: pytest.Pytester) -> None:
    run(project, """
    @pytest.mark.overlay
    def test_it(overlay, tmp_path, monkeypatch):
        import asyncio

        spoil()
        os.system(f"echo >{HERE}/by-system")
        os.popen(f"echo >{HERE}/by-popen").close()
        assert os.system("exit 3") == 3 << 8
        async def main():
            process = await asyncio.create_subprocess_exec("touch", f"{HERE}/by-asyncio")
            return await process.wait()
        assert asyncio.run(main()) == 0
        assert overlay.changed.added == {f"{HERE}/by-{how}" for how in ("system", "popen", "asyncio")}
        assert overlay.changed.modified == {str(VICTIM)}
        assert subprocess.check_output(["cat", VICTIM], text=True) == "spoilt\\n"
        assert VICTIM.read_text() == "whole\\n"
        spoil(tmp_path / "direct")
        assert (tmp_path / "direct").read_text() == "spoilt\\n"
        monkeypatch.chdir(tmp_path)
        subprocess.run("pwd >here", shell=True, check=True)
        assert (tmp_path / "here").read_text().strip() == str(tmp_path)
        assert subprocess.run("echo $0", shell=True, executable="/bin/bash", stdout=-1).stdout == b"/bin/bash\\n"
        with pytest.raises(FileNotFoundError):
            subprocess.run(["no-such-command"])
        with pytest.raises(FileNotFoundError):
            subprocess.run(["true"], cwd=HERE / "nowhere")
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(["sleep", "1000"], timeout=0.5)
        subprocess.run(["cp", "/bin/true", f"{HERE}/made"], check=True)
        subprocess.run([HERE / "made"], check=True)
    """)


#: Ways to a program that touches the file HOW: each a function of the test.
WAYS = '''
    def touch(how):
        return ["touch", f"{HERE}/by-{how}"]

    def posix_spawn():
        done = os.posix_spawn("/bin/sh", ["sh", "-c", f"cd /; touch {HERE}/by-posix_spawn"], os.environ)
        assert os.waitpid(done, 0)[1] == 0

    def posix_spawnp():
        assert os.waitpid(os.posix_spawnp("touch", touch("posix_spawnp"), os.environ), 0)[1] == 0

    def spawn():
        assert os.spawnlp(os.P_WAIT, "touch", *touch("spawn")) == 0
        assert os.spawnve(os.P_WAIT, "/bin/sh", ["sh", "-c", "exit $CODE"], {"CODE": "7"}) == 7

    def fork():
        pid = os.fork()
        if not pid:
            try:
                os.chdir("/usr/bin")
                os.execv("touch", touch("fork"))
            finally:
                os._exit(99)
        assert os.waitpid(pid, 0)[1] == 0

    def pty():
        import pty as module

        read = bytearray()
        assert module.spawn(["sh", "-c", f"test -t 0 && touch {HERE}/by-pty && echo shown"],
                            lambda fd: read.extend(data := os.read(fd, 1000)) or data) == 0
        assert b"shown" in read

    def multiprocessing():
        import multiprocessing as module

        process = module.get_context("spawn").Process(target=os.mknod, args=(f"{HERE}/by-multiprocessing",))
        process.start()
        process.join()
        assert process.exitcode == 0

    def pool():
        import concurrent.futures, multiprocessing

        with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
            assert list(executor.map(abs, [-1, 2, -3])) == [1, 2, 3]
            executor.submit(os.mknod, f"{HERE}/by-pool").result()

    def close_fds():
        subprocess.run(touch("close_fds"), close_fds=False, check=True)

    def bytes_words():
        subprocess.run([word.encode() for word in touch("bytes_words")], env={b"PATH": b"/usr/bin:/bin"}, check=True)
'''


@pytest.mark.parametrize("way", ["posix_spawn", "posix_spawnp", "spawn", "fork", "pty", "multiprocessing", "pool",
                                 "close_fds", "bytes_words"])
def test_every_way_to_a_program(project: pytest.Pytester, way: str) -> None:
    run(project, WAYS + f"""
    def test_it(overlay):
        {way}()
        assert overlay.changed.added == {{f"{{HERE}}/by-{way}"}}
        assert not os.path.exists(f"{{HERE}}/by-{way}")
        assert subprocess.run(["test", "-e", f"{{HERE}}/by-{way}"]).returncode == 0
    """, "--overlay")


def test_forks(project: pytest.Pytester) -> None:
    """A fork has a layer to itself, runs programs in it, and takes nothing away when it ends."""
    run(project, """
    def test_it(overlay):
        pids = []
        for number in range(2):
            read, write = os.pipe()
            pids.append(os.fork())
            if not pids[-1]:
                try:
                    subprocess.run(["touch", f"{HERE}/fork-{number}"], check=True)
                    os.close(write)
                    os.read(read, 1)
                    raise SystemExit(5)
                finally:
                    import atexit
                    atexit._run_exitfuncs()
                    os._exit(5)
            subprocess.run(["touch", f"{HERE}/beside-{number}"], check=True)
            os.close(write)
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [5, 5]
        assert overlay.changed.added == {f"{HERE}/{name}-{number}" for name in ("fork", "beside") for number in (0, 1)}
        pid = os.fork()
        if not pid:
            os.execlp("sleep", "sleep", "1000")
        with pytest.raises(FileNotFoundError):
            os.execvp("no-such-command", ["no-such-command"])
        with pytest.raises(FileNotFoundError):
            os.posix_spawn("/no/such/command", ["x"], {})
    """, "--overlay")


def test_commands_that_run_at_the_same_time(project: pytest.Pytester) -> None:
    run(project, """
    @pytest.mark.overlay
    def test_it(overlay):
        subprocess.run(["touch", HERE / "first"], check=True)
        server = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        client = subprocess.Popen(["sh", "-c", f"ls {HERE}/first; rm {VICTIM}; cat"], stdin=server.stdout,
                                  stdout=subprocess.PIPE)
        server.stdin.write(b"piped")
        server.stdin.close()
        assert client.communicate()[0] == f"{HERE}/first\\npiped".encode()
        assert server.wait() == 0
        assert subprocess.run(["test", "-e", VICTIM]).returncode == 1
        assert overlay.changed.removed == {str(VICTIM)}
        assert overlay.changed.added == {f"{HERE}/first"}
        subprocess.Popen(["sleep", "1000"])
    """)


def test_a_sandbox_that_others_are_in(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixture and marker join it: each sees what the other has changed. What is direct for the marker's commands has to
    be so for all of them."""
    direct = project.mkdir("direct")
    monkeypatch.setenv("XDG_STATE_HOME", str(project.mkdir("state")))
    line = [sys.executable, "-m", "ptoverlay", "run", "--name", "mine", "-l", str(project.path), "-C",
            str(project.path), "--direct", str(direct), "--", "sh"]
    shell = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write("echo one >made; echo in\n")
    shell.stdin.flush()
    assert shell.stdout.readline() == "in\n"
    run(project, """
    def test_fixture(make_overlay):
        box = make_overlay(name="mine", direct=[HERE / "direct"])
        assert box.run(["cat", "made"], cwd=HERE, stdout=-1).stdout == b"one\\n"
        box.run(["sh", "-c", "echo two >>made"], cwd=HERE, check=True)
        assert box.changed.added >= {f"{HERE}/made"}

    @pytest.mark.overlay(name="mine")
    def test_marker():
        spoil(HERE / "made")
        assert subprocess.check_output(["cat", HERE / "made"]) == b"spoilt\\n"
    """, f"--basetemp={direct}", passed=2)
    assert shell.communicate("cat made\n")[0] == "spoilt\n"
    assert not (project.path / "made").exists()


def test_option_and_tests_that_are_left_out(project: pytest.Pytester) -> None:
    (project.path / "direct").mkdir()
    (project.path / "spared").mkdir()
    run(project, """
    @pytest.fixture(scope="session")
    def made():
        subprocess.run(["touch", HERE / "by-session"], check=True)

    def test_one(made):
        spoil()
        spoil(HERE / "direct/file")
        assert (HERE / "direct/file").exists()
        assert (HERE / "by-session").exists()

    @pytest.mark.parametrize("number", range(2))
    def test_each_has_a_layer_of_its_own(number):
        assert subprocess.check_output(["cat", VICTIM]) == b"whole\\n"
        spoil()

    @pytest.mark.overlay(False)
    def test_not_this():
        spoil(HERE / "really")
        assert (HERE / "really").exists()

    @pytest.mark.overlay(read_only=[HERE / "spared"])
    def test_with_arguments():
        assert subprocess.run(["touch", HERE / "spared/file"]).returncode == 1
    """, "--overlay", "--overlay-direct", str(project.path / "direct"), passed=5)


def test_a_failing_test_tells_what_was_changed(project: pytest.Pytester) -> None:
    result = run(project, """
    def test_marked():
        spoil()
        subprocess.run(["touch", HERE / "new"])
        assert 0

    def test_fixture(overlay):
        overlay.run(["sh", "-c", f"for i in $(seq 60); do echo >{HERE}/file-$i; done"], check=True)
        assert 0

    def test_nothing(overlay):
        assert 0
    """, "--overlay", failed=3)
    result.stdout.fnmatch_lines(["*- changed in <Overlay temporary over />*", f"added     {project.path}/new",
                                 f"modified  {project.path}/victim"])
    result.stdout.fnmatch_lines(["… and 10 more"])
    assert result.stdout.str().count("- changed in") == 2


def test_with_xdist(project: pytest.Pytester) -> None:
    result = run(project, """
    @pytest.mark.parametrize("number", range(6))
    def test_it(number, tmp_path):
        assert subprocess.check_output(["cat", VICTIM]) == b"whole\\n"
        spoil()
        spoil(tmp_path / "direct")
        assert (tmp_path / "direct").exists()
        assert number != 5
    """, "--overlay", "-n", "2", passed=5, failed=1)
    result.stdout.fnmatch_lines(["*- changed in <Overlay*", f"modified  {project.path}/victim"])


def test_help_names_the_options_and_the_marker(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--help")
    result.stdout.fnmatch_lines(["*--overlay *", "*--overlay-direct*", "*overlay_direct*"])
    assert project.runpytest_subprocess("--markers").stdout.str().count("@pytest.mark.overlay(") == 1


@pytest.mark.quick
def test_the_plugin_imports_nothing_that_is_not_used() -> None:
    code = "import sys, ptoverlay.pytest_plugin; print('ptoverlay.api' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.root_only
def test_all_of_it_as_an_ordinary_user(base: Path) -> None:
    place = f"/tmp/ptoverlay-plugin-{os.getpid()}"
    done = subprocess.run([*as_user(USER), sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__,
                           "--basetemp", place], capture_output=True, text=True, check=False, timeout=600,
                          cwd=ROOT_DIRECTORY,
                          env={**os.environ, "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp"})
    subprocess.run(["rm", "-rf", place], check=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
