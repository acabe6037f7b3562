"""The command ptoverlay as a process: exit status, messages, signals, what it leaves behind, reports.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from support.box import front

from ptoverlay.cli import SUBCOMMANDS
from ptoverlay.commands.dispatch import make_parser

pytestmark = pytest.mark.quick

PTOVERLAY = [*front()]
LIMIT = 20.0  # seconds that a step may take on a busy machine


class Run:
    """Runs ptoverlay over `lower`, with temporary layers in `tmp`, both below a directory of the test's own."""

    def __init__(self, top: Path, trap: str) -> None:
        self.trap = trap
        self.lower = top / "lower"
        self.tmp = top / "tmp"
        self.lower.mkdir()
        self.tmp.mkdir()
        self.environment = {**os.environ, "TMPDIR": str(self.tmp), "PATH": "/usr/local/bin:/usr/bin:/bin"}

    def words(self, *words: str) -> list[str]:
        return [*PTOVERLAY, "--trap", self.trap, "-l", str(self.lower), *words]

    def __call__(self, *words: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.words(*words), env=self.environment, input=input, capture_output=True, text=True,
                              timeout=LIMIT, check=False)

    def start(self, *words: str, ignored: signal.Signals | None = None) -> subprocess.Popen[str]:
        def prepare() -> None:
            if ignored is not None:
                signal.signal(ignored, signal.SIG_IGN)

        return subprocess.Popen(self.words(*words), env=self.environment, stdout=subprocess.PIPE, text=True,
                                preexec_fn=prepare)


@pytest.fixture
def run(tmp_path: Path, trap: str) -> Iterator[Run]:
    made = Run(tmp_path, trap)
    yield made
    assert os.listdir(made.tmp) == [], "a temporary layer is left behind"


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


# ---- exit status and messages ----


@pytest.mark.parametrize("status", [0, 1, 3, 124, 125, 255])
def test_exit_status_is_the_commands(run: Run, status: int) -> None:
    assert run("--", "sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGHUP, signal.SIGINT,
                                    signal.SIGPIPE, signal.SIGUSR1, signal.SIGRTMIN + 1])
def test_dies_of_the_signal_that_ended_the_command(run: Run, number: int) -> None:
    assert run("--", "sh", "-c", f"kill -{int(number)} $$").returncode == -number


def test_a_command_that_dumps_core_makes_no_core_of_ours(run: Run, tmp_path: Path) -> None:
    words = shlex.join(run.words("--", "sh", "-c", "ulimit -c 0; kill -QUIT $$"))
    done = subprocess.run(["sh", "-c", f"ulimit -c unlimited; exec {words}"], cwd=tmp_path, env=run.environment,
                          timeout=LIMIT, check=False)
    assert done.returncode == -signal.SIGQUIT
    assert sorted(os.listdir(tmp_path)) == ["lower", "tmp"]


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stdout == ""
    assert done.stderr.startswith("ptoverlay: ")
    assert done.stderr.count("\n") == 1
    return done.stderr[len("ptoverlay: "):-1]


@pytest.mark.parametrize(("words", "status", "message"), [
    (["nonexistent-program"], 127, "nonexistent-program: No such file or directory"),
    (["/nonexistent/program"], 127, "/nonexistent/program: No such file or directory"),
    (["/etc/passwd"], 126, "/etc/passwd: Permission denied"),
    (["/"], 126, "/: Permission denied"),
    (["-C", "/nonexistent", "true"], 125, "--chdir /nonexistent: No such file or directory"),
    (["-u", "/nonexistent/upper", "true"], 125, "/nonexistent/upper: upper cannot be made: No such file or directory"),
    (["--trace", "/nonexistent/file", "true"], 125, "--trace /nonexistent/file: No such file or directory"),
    (["--no-such-option", "true"], 125, "--no-such-option: no such option (ptoverlay -h shows the options)"),
    ([], 125, "command line: no command given (ptoverlay -h shows the options)"),
])
def test_a_run_that_cannot_be(run: Run, words: list[str], status: int, message: str) -> None:
    done = run(*words)
    assert one_line(done) == message
    assert done.returncode == status


def test_a_run_in_a_run(run: Run) -> None:
    """Whatever trap it asks for: the run around traps its calls."""
    for trap in ("ptrace", "notify", "auto"):
        done = run("--", *PTOVERLAY, "--trap", trap, "-l", str(run.lower), "--", "echo", trap)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{trap}\n", "")


def test_names_in_messages_cannot_break_the_line(run: Run) -> None:
    assert one_line(run("--", "/a\nb\x1b[2J")) == "/a\\nb\\x1b[2J: No such file or directory"


def test_a_script_without_its_interpreter_is_not_found(run: Run) -> None:
    script = run.lower / "script"
    script.write_text("#!/nonexistent/interpreter\n")
    script.chmod(0o755)
    assert run("--", str(script)).returncode == 127


def test_upper_that_was_made_goes_away_when_the_command_never_ran(run: Run, tmp_path: Path) -> None:
    assert run("-u", str(tmp_path / "upper"), "--", "nonexistent-program").returncode == 127
    assert sorted(os.listdir(tmp_path)) == ["lower", "tmp"]


def test_upper_and_its_work_directory_stay(run: Run, tmp_path: Path) -> None:
    assert run("-u", str(tmp_path / "upper"), "--", "touch", str(run.lower / "new")).returncode == 0
    assert sorted(os.listdir(tmp_path)) == [".upper.work", "lower", "tmp", "upper"]
    assert os.listdir(tmp_path / "upper") == ["new"]
    assert os.listdir(run.lower) == []
    # and the next run goes on from it
    assert run("-u", str(tmp_path / "upper"), "--", "ls", str(run.lower)).stdout == "new\n"


@pytest.mark.parametrize("words", [["-o", "ro"], ["-o", "lowerdir={}"]])
def test_view_without_an_upper_cannot_be_changed(run: Run, words: list[str]) -> None:
    words = [word.format(run.lower) for word in words]
    done = run(*words, "--", "touch", str(run.lower / "new"))
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr


def test_upper_that_may_not_be_changed_is_seen(run: Run, tmp_path: Path) -> None:
    upper, work = tmp_path / "upper", tmp_path / "work"
    assert run("-u", str(upper), "-w", str(work), "-C", str(run.lower), "--", "sh", "-c", "echo x >f").returncode == 0
    before = sorted(tmp_path.rglob("*"))
    done = run("-u", str(upper), "-o", "ro", "-C", str(run.lower), "--", "sh", "-c", "cat f; echo y >f")
    assert done.stdout == "x\n"
    assert "Read-only file system" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_help_and_version() -> None:
    done = subprocess.run([*PTOVERLAY, "--help"], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: ptoverlay ")
    done = subprocess.run([*PTOVERLAY, "--version"], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert re.fullmatch(r"ptoverlay \d+\.\d+\.\d+\n", done.stdout)
    for name in ("build", "cached", "try"):  # they take the options of run
        of_run = subprocess.run([*PTOVERLAY, name, "-q", "--version"], capture_output=True, text=True, timeout=LIMIT,
                                check=False)
        assert (of_run.returncode, of_run.stdout, of_run.stderr) == (0, done.stdout, "")


def test_every_subcommand_that_tells_something_has_json() -> None:
    """Those have none that run a CMD, whose output is CMD's, and those that tell nothing."""
    silent = {name for name in SUBCOMMANDS if "--json" not in make_parser(name)[0].format_help()}
    assert silent == {"shell", "try", "build", "cached", "serve", "fork", "import", "completion"}


def test_help_into_a_closed_pipe_is_one_line() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*PTOVERLAY, "-h"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=LIMIT,
                          check=False)
    os.close(write)
    assert done.returncode == 125
    assert done.stderr == "ptoverlay: standard output: Broken pipe\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_descriptors_may_be_closed(run: Run, closed: str, tmp_path: Path) -> None:
    command = " ".join(run.words("--", "sh", "-c", f"'ls -l /proc/self/fd >{run.tmp}/../fds; exit 4'", closed))
    assert subprocess.run(["sh", "-c", command], env=run.environment, timeout=LIMIT, check=False).returncode == 4


def test_words_and_environment_arrive_byte_for_byte(run: Run) -> None:
    odd = os.fsdecode(b"a\xff b\n\xc3\xa4")
    environment = {**run.environment, "ODD": odd, "EMPTY": ""}
    script = 'printf "%s|%s|%s" "$1" "$ODD" "$EMPTY"; env | grep -c "^EMPTY=$"'
    done = subprocess.run(run.words("--", "sh", "-c", script, "sh", odd), env=environment, capture_output=True,
                          timeout=LIMIT, check=False)
    assert done.stdout == os.fsencode(f"{odd}|{odd}|1\n")


def test_input_and_output_are_the_commands(run: Run) -> None:
    done = run("--", "sh", "-c", "cat; echo err >&2", input="in\n")
    assert (done.stdout, done.stderr) == ("in\n", "err\n")


def test_no_descriptor_of_ours_reaches_the_command(run: Run) -> None:
    done = run("--trace", "/dev/null", "--", "ls", "/proc/self/fd")
    assert done.stdout.split() == ["0", "1", "2", "3"]


# ---- the temporary layer ----


def test_temporary_layer_goes_away_whatever_is_in_it(run: Run) -> None:
    script = "mkdir -p a/b/c && touch a/b/c/f && chmod 0 a/b/c && chmod 500 a/b && chmod 400 a && ln -s / l && mkfifo p"
    done = run("-C", str(run.lower), "--", "sh", "-c", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(run.lower) == []


def test_temporary_layer_is_not_in_the_view(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    done = subprocess.run([*PTOVERLAY, "--", "sh", "-c", f"ls -A {tmp_path}/tmp; echo end"],
                          env={**os.environ, "TMPDIR": str(tmp_path / "tmp")}, capture_output=True, text=True,
                          timeout=LIMIT, check=False)
    assert (done.stdout, done.stderr) == ("end\n", "")
    assert os.listdir(tmp_path / "tmp") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGALRM,
                                    signal.SIGRTMIN + 3])
def test_signal_from_a_process_goes_on_to_the_command(run: Run, number: int) -> None:
    script = f"trap 'echo got; exit 9' {int(number)}; echo ready; while :; do sleep 0.02; done"
    program = run.start("--", "sh", "-c", script)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.send_signal(number)
    assert program.communicate(timeout=LIMIT)[0] == "got\n"
    assert program.returncode == 9


def test_signal_that_ends_the_command_ends_us(run: Run) -> None:
    program = run.start("--", "sh", "-c", f"touch {run.lower}/x; echo ready; exec sleep 100")
    assert program.stdout is not None
    program.stdout.readline()
    program.terminate()
    assert program.wait(LIMIT) == -signal.SIGTERM


def test_ignored_hangup_stays_ignored(run: Run) -> None:
    program = run.start("--", "sh", "-c", "kill -HUP $$; echo alive", ignored=signal.SIGHUP)
    assert program.communicate(timeout=LIMIT)[0] == "alive\n"


def test_signals_that_python_ignores_are_not_ignored_in_the_command(run: Run) -> None:
    done = run("--", "grep", "-E", "SigIgn|SigBlk", "/proc/self/status")
    assert done.stdout.split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_parent_that_ignores_its_children(run: Run) -> None:
    program = run.start("--", "sh", "-c", "exit 6", ignored=signal.SIGCHLD)
    assert program.wait(LIMIT) == 6


# ---- on a terminal ----


class Terminal:
    """A shell's side of a terminal: the program is the foreground job of a session of its own."""

    made: ClassVar[list[Terminal]] = []

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(words[0], words, environment)
        self.output = ""
        self.ended = False
        Terminal.made.append(self)

    def expect(self, text: str) -> None:
        end = time.monotonic() + LIMIT
        while text not in self.output:
            ready, _, _ = select.select([self.fd], [], [], max(end - time.monotonic(), 0))
            assert ready, self.output
            self.output += os.read(self.fd, 4096).decode()
        self.output = self.output.split(text, 1)[1]

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def status(self) -> int:
        end = time.monotonic() + LIMIT
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended = True
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < end, self.output
            time.sleep(0.01)

    def close(self) -> None:
        """Leaves nothing running when a test fails."""
        if not self.ended:
            os.close(self.fd)
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture(autouse=True)
def _terminals_closed() -> Iterator[None]:
    yield
    while Terminal.made:
        Terminal.made.pop().close()


def test_ctrl_c_reaches_the_command_once(run: Run) -> None:
    script = "n=0; trap 'n=$((n+1))' INT; echo ready; sleep 0.3; sleep 0.3; echo count $n; exit 5"
    terminal = Terminal(run.words("--", "sh", "-c", script), run.environment)
    terminal.expect("ready")
    terminal.type("\x03")
    terminal.expect("count 1")
    assert terminal.status() == 5


def test_ctrl_c_ends_a_command_that_does_not_care(run: Run) -> None:
    terminal = Terminal(run.words("--", "sh", "-c", "echo ready; exec sleep 100"), run.environment)
    terminal.expect("ready")
    terminal.type("\x03")
    assert terminal.status() == -signal.SIGINT


SHELL = """
set -m
{command} -- sh -c 'echo begun; read x; echo not reached' &
job=$!
fg %1 >/dev/null
echo stopped $?
echo state $(cut -d' ' -f3 /proc/$job/stat)
(sleep 0.2; kill -TERM -$job) &
fg %1 >/dev/null
echo over $?
"""


def test_ctrl_z_stops_the_job_and_fg_goes_on(run: Run) -> None:
    script = SHELL.format(command=" ".join(run.words()))
    terminal = Terminal(["/bin/bash", "--norc", "-c", script], run.environment)
    terminal.expect("begun")
    terminal.type("\x1a")
    terminal.expect(f"stopped {128 + signal.SIGTSTP}")
    terminal.expect("state T")
    terminal.expect(f"over {128 + signal.SIGTERM}")
    assert terminal.status() == 0


# ---- reports ----


def test_trace(run: Run, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert run("--trace", str(trace), "-C", str(run.lower), "--", "mkdir", "new").returncode == 0
    lines = trace.read_text().splitlines()
    pattern = re.compile(r"\d+ +\d+\.\d{6} \w+\(.*\) = (\?|-?\d+.*) <(PASS|RETURN|OPEN|SUBSTITUTE)>")
    assert [line for line in lines if not pattern.fullmatch(line)] == []
    assert any(re.search(r'mkdir(at)?\((AT_FDCWD, )?"[^"]*new", 0777\) = 0 <RETURN>', line) for line in lines)
    assert any("execve(" in line for line in lines)


def test_trace_of_an_error_names_it(run: Run) -> None:
    done = run("--trace", "-", "-C", str(run.lower), "--", "rmdir", "missing")
    call = r'(rmdir\("[^"]*missing"|unlinkat\(AT_FDCWD, "[^"]*missing", \w+)'
    assert re.search(call + r'\) = -1 ENOENT \(No such file or directory\) <RETURN>', done.stderr)


def test_trace_into_a_full_file_does_not_stop_the_command(run: Run) -> None:
    done = run("--trace", "/dev/full", "--", "sh", "-c", "for i in 1 2 3; do ls / >/dev/null; done; echo end")
    assert done.stdout == "end\n"
    assert done.stderr == "ptoverlay: --trace /dev/full: No space left on device: the rest of the trace is lost\n"


def test_stats(run: Run) -> None:
    (run.lower / "file").write_text("12345")
    done = run("--stats", "-C", str(run.lower), "--", "sh", "-c", "echo x >>file; rm file; mkdir new")
    lines = done.stderr.splitlines()
    assert lines[0].split() == ["call", "calls", "pass", "return", "open", "substitute", "ms", "us/call"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:lines.index("")]}
    for row in rows.values():
        assert int(row[0]) == sum(map(int, row[1:5]))
    assert (rows.get("mkdir") or rows["mkdirat"])[2] == "1"
    assert int(rows["total"][0]) == sum(int(row[0]) for name, row in rows.items() if name != "total")
    assert lines[lines.index("") + 1].startswith("1 copy-up of 5 bytes, 1 whiteout, ")


def test_verbose_and_quiet(run: Run) -> None:
    assert f"ran with the {run.trap} trap" in run("-v", "--", "true").stderr
    assert run("-q", "--", "true").stderr == ""
    assert "-o index=on: accepted, without effect" in run("-v", "-o", "index=on", "--", "true").stderr
