"""The Python API: run, start, changes, commit, discard, export, threads, asyncio; the examples of its docstrings.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import asyncio
import doctest
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from support.box import ROOT_DIRECTORY
from support.oracle import USER, as_user

import ptoverlay
from ptoverlay import Build, Failure, Kind, Overlay
from ptoverlay.api import overlay, running, work
from ptoverlay.layer import private

PIPE = subprocess.PIPE
TRAPS: tuple[Literal["ptrace", "notify"], ...] = ("ptrace", "notify")
LIMIT = 60.0  # seconds that a command may take on a busy machine


@pytest.fixture
def lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two files, where nothing may change by itself; temporary layers are made beside it."""
    (tmp_path / "layers").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "layers"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "lower"
    (path / "dir").mkdir(parents=True)
    (path / "a").write_text("a\n")
    (path / "dir/b").write_text("b\n")
    return path


@pytest.fixture
def box(lower: Path) -> Iterator[Overlay]:
    """A temporary overlay over it, which leaves nothing behind."""
    with Overlay(lower) as made:
        yield made
    assert os.listdir(lower.parent / "layers") == []


def told(box: Overlay) -> list[tuple[str, str]]:
    return [(str(change.kind), change.path[len(box.mount) + 1:]) for change in box.changes()]


def has_ended(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


# ---- run ----


def test_examples_of_the_docstrings(lower: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(lower.parent))
    names = {"Overlay": Overlay, "os": os, "subprocess": subprocess}
    for module in (overlay, running, work):
        result = doctest.testmod(module, extraglobs=names)
        assert result.attempted > 4
        assert result.failed == 0


def test_changes_go_to_the_layer(box: Overlay, lower: Path) -> None:
    box.run("echo new >>a; rm dir/b; mv dir moved; mkdir fresh", shell=True, cwd=lower, check=True)
    assert told(box) == [("modified", "a"), ("added", "fresh"), ("renamed", "moved"), ("removed", "moved/b")]
    assert box.changes(["a"])[0].kind is Kind.MODIFIED
    assert box.read(lower / "a") == b"a\nnew\n"
    assert (lower / "a").read_text() == "a\n"
    assert (lower / "dir/b").exists()


def test_results_are_those_of_subprocess(box: Overlay, lower: Path) -> None:
    for arguments in ({"input": b"in", "capture_output": True}, {"input": "in", "capture_output": True, "text": True},
                      {"input": "ä", "stdout": PIPE, "encoding": "utf-8"}, {"stdout": PIPE, "env": {"A": "b"}},
                      {"stdout": PIPE, "stderr": subprocess.STDOUT, "env": {}, "cwd": lower / "dir", "umask": 0o77}):
        command = "/bin/cat; /usr/bin/env; /bin/pwd; umask; echo error >&2; exit 3"
        given: dict[str, object] = {"shell": True, "stdin": subprocess.DEVNULL, **arguments}
        if "input" in given:
            del given["stdin"]
        here = box.run(command, **given)  # type: ignore[call-overload]
        there = subprocess.run(command, check=False, **given)  # type: ignore[call-overload]
        assert (here.args, here.returncode) == (there.args, there.returncode)
        assert (here.stdout, here.stderr) == (there.stdout, there.stderr)


def test_check_and_signals(box: Overlay) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        box.run(["sh", "-c", "echo out; exit 4"], check=True, capture_output=True)
    assert (failed.value.returncode, failed.value.stdout) == (4, b"out\n")
    assert box.run(["sh", "-c", "kill -TERM $$"]).returncode == -signal.SIGTERM


def test_what_is_not_there_is_an_oserror(box: Overlay, lower: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        box.run(["no-such-command"], capture_output=True)
    assert missing.value.filename == "no-such-command"
    with pytest.raises(PermissionError):
        box.run([str(lower / "a")])
    with pytest.raises(FileNotFoundError) as nowhere:
        box.run(["true"], cwd=lower / "nowhere")
    assert nowhere.value.filename == str(lower / "nowhere")
    (lower / "script").write_text("#!/no/such/interpreter\n")
    (lower / "script").chmod(0o755)
    for trap in TRAPS:
        with Overlay(lower, trap=trap) as other:
            for words in ("no-such-command", lower / "script", lower / "dir/none"):
                with pytest.raises(FileNotFoundError):
                    other.start([words], stdin=PIPE, stdout=PIPE)
            with pytest.raises(NotADirectoryError):
                other.start([lower / "a/x"])
            with pytest.raises(PermissionError):
                other.start([lower / "a"])
            with pytest.raises(FileNotFoundError):
                asyncio.run(other.start_async(["no-such-command"]))
            assert other.run(["true"]).returncode == 0


def test_a_start_does_not_wait_for_the_end(lower: Path) -> None:
    """Not for that of the command, nor for what it leaves behind; a command that ends at once has begun."""
    for trap in TRAPS:
        with Overlay(lower, trap=trap) as box:
            for number in range(10):
                with box.start(["sh", "-c", "sleep 1000 & exit 3"]) as process:
                    assert process.poll() is None, number
                    process.kill()
            for static in range(10):
                with box.start(["true"]) as process:
                    assert process.wait(LIMIT) == 0, static


def test_layers_in_use_are_told_at_once(lower: Path, tmp_path: Path) -> None:
    with Overlay(lower, tmp_path / "upper") as box, Overlay(lower, tmp_path / "upper") as other:
        process = box.start(["sleep", "1000"])
        with pytest.raises(Failure, match="in use"):
            other.start(["true"])
        process.kill()
        process.wait(LIMIT)
        assert other.run(["true"]).returncode == 0


def test_a_timeout_ends_all_that_was_started(lower: Path, trap: Literal["ptrace", "notify"]) -> None:
    start = time.monotonic()
    with Overlay(lower, trap=trap) as box:
        with pytest.raises(subprocess.TimeoutExpired) as late:
            box.run(["sh", "-c", "echo early; sleep 1000 & sleep 1000"], timeout=1, capture_output=True)
        assert late.value.cmd == ["sh", "-c", "echo early; sleep 1000 & sleep 1000"]
        assert time.monotonic() - start < LIMIT
        assert box.run(["true"]).returncode == 0


def test_descriptors_are_passed_and_no_others(box: Overlay) -> None:
    read, write = os.pipe()
    with open(read) as out:
        done = box.run(["bash", "-c", f"echo passed >&{write}; ls /proc/self/fd"], pass_fds=[write], stdout=PIPE,
                       text=True)
        os.close(write)
        assert out.read() == "passed\n"
    assert set(done.stdout.split()) <= {"0", "1", "2", "3", str(write)}


def test_wrong_arguments(box: Overlay, lower: Path) -> None:
    with pytest.raises(ValueError, match="stdin and input"):
        box.run(["cat"], input=b"", stdin=PIPE)
    with pytest.raises(ValueError, match="capture_output"):
        box.run(["cat"], stdout=PIPE, capture_output=True)
    with pytest.raises(TypeError):
        box.run(["cat"], preexec=None)  # type: ignore[call-overload]
    with pytest.raises(Failure, match="already"):
        box.open()
    with pytest.raises(Failure, match="not open"):
        Overlay(lower).run(["true"])
    with pytest.raises(Failure, match="no such directory"):
        Overlay(lower / "none").open()
    assert box.changes(["nothing"]) == []
    with pytest.raises(Failure, match="directories are given by"):
        Overlay(mount_options="upperdir=/x")


# ---- start ----


def test_a_process_is_a_popen(box: Overlay) -> None:
    with box.start(["cat"], stdin=PIPE, stdout=PIPE, text=True) as process:
        assert isinstance(process, subprocess.Popen)
        assert process.poll() is None
        assert process.args == ["cat"]
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("line\n")
        process.stdin.flush()
        assert process.stdout.readline() == "line\n"
    assert process.returncode == 0


def test_terminate_kill_and_other_signals(box: Overlay) -> None:
    process = box.start(["sh", "-c", "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.1; done"],
                        stdout=PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGUSR1)
    assert process.communicate(timeout=LIMIT)[0] == "caught\n"
    assert process.returncode == 5
    for end, number in (("terminate", signal.SIGTERM), ("kill", signal.SIGKILL)):
        process = box.start(["sleep", "1000"])
        getattr(process, end)()
        assert process.wait(LIMIT) == -number


def test_one_command_at_a_time(box: Overlay) -> None:
    process = box.start(["cat"], stdin=PIPE)
    with pytest.raises(Failure, match="a command is running in it"):
        box.run(["true"])
    with pytest.raises(Failure, match="a command is running in it"):
        box.commit()
    assert box.changes() == []
    process.communicate(timeout=LIMIT)
    box.run(["true"], check=True)


def test_close_ends_what_is_running(lower: Path, trap: Literal["ptrace", "notify"]) -> None:
    with Overlay(lower, trap=trap) as box:
        process = box.start(["sh", "-c", "echo $$; while :; do echo >x; rm x; done"], cwd=lower, stdout=PIPE)
        assert process.stdout is not None
        pid = int(process.stdout.readline())
    assert process.returncode == -signal.SIGKILL
    end = time.monotonic() + LIMIT
    while not has_ended(pid):
        assert time.monotonic() < end
    assert os.listdir(lower.parent / "layers") == []


def test_a_forgotten_overlay_leaves_nothing(lower: Path) -> None:
    box = Overlay(lower).open()
    box.run(["touch", str(lower / "x")], check=True)
    del box
    assert os.listdir(lower.parent / "layers") == []


# ---- layers ----


def test_an_upper_stays_and_is_gone_on_from(lower: Path, tmp_path: Path) -> None:
    with Overlay(lower, tmp_path / "upper") as box:
        assert box.changes() == []
        box.run(["touch", "one"], cwd=lower, check=True)
    with Overlay(lower, tmp_path / "upper") as box:
        box.run(["touch", "two"], cwd=lower, check=True)
        assert told(box) == [("added", "one"), ("added", "two")]
    with Overlay([tmp_path / "upper", lower], mount=lower) as box:
        assert box.run(["ls"], cwd=lower, stdout=PIPE, text=True).stdout.split() == ["a", "dir", "one", "two"]
    with Overlay(lower, read_only=[lower / "dir"], hide=[lower / "a"]) as box:
        done = box.run("ls; touch dir/x", shell=True, cwd=lower, capture_output=True, text=True)
        assert done.stdout == "dir\n"
        assert "Read-only file system" in done.stderr


def test_a_named_sandbox_is_the_command_lines(lower: Path) -> None:
    command = [sys.executable, "-m", "ptoverlay"]
    with Overlay(lower, name="mine") as box:
        with Overlay(name="mine") as other:
            other.run(["touch", "x"], cwd=lower, check=True)
        assert told(box) == [("added", "x")]
    listed = subprocess.run([*command, "list"], capture_output=True, text=True, check=True).stdout
    assert "mine" in listed
    assert "touch x" in listed
    assert "exit 0" in listed
    with Overlay(name="mine") as box:
        assert box.lowers == (str(lower),)
        assert told(box) == [("added", "x")]
        assert box.commit().refused == {}
    with Overlay(lower, name="unused"):
        pass
    listed = subprocess.run([*command, "list"], capture_output=True, text=True, check=True).stdout
    assert "unused" not in listed
    with pytest.raises(Failure, match="it lies on"):
        Overlay("/usr", name="mine").open()


def test_a_named_sandbox_keeps_its_layers(lower: Path, tmp_path: Path) -> None:
    """What is asked for otherwise than it was made with is refused, in the words of the command line."""
    command = [sys.executable, "-m", "ptoverlay", "run", "--name", "mine"]
    mount = tmp_path / "mount"
    mount.mkdir()
    with Overlay(lower, name="mine", mount=mount, mount_options="metacopy=on") as box:
        box.run("chmod 600 a", shell=True, cwd=mount, check=True)
    given: list[tuple[dict[str, Any], list[str], str]] = [
        ({"mount": tmp_path}, ["-m", str(tmp_path)], f"it appears at {mount} (leave the mount point out)"),
        ({"lower": lower}, ["-l", str(lower)], f"it appears at {mount} (leave the mount point out)"),
        ({"lower": "/"}, ["-l", "/"], f"it lies on {lower} (leave the lowers out, or give another name)"),
        ({"mount_options": "volatile"}, ["-o", "volatile"],
         "it was made with other mount options (leave the mount options out)"),
    ]
    for arguments, words, why in given:
        with pytest.raises(Failure) as told_why:
            Overlay(name="mine", **arguments).open()
        assert str(told_why.value) == f"sandbox mine: {why}"
        done = subprocess.run([*command, *words, "--", "true"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (125, f"ptoverlay: sandbox mine: {why}\n")
    with pytest.raises(Failure, match="not kept"):
        Overlay(name="mine", mount_options="ro")
    with Overlay(name="mine", mount=mount) as box:  # and goes on with what it was made with
        box.run("chmod 640 dir/b", shell=True, cwd=mount, check=True)
        assert [name for name in os.listxattr(f"{box.upper}/dir/b") if name.endswith("overlay.metacopy")]
        assert box.mount == str(mount)


def test_data_only_layers_and_views_that_nothing_can_change(lower: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ptoverlay"]
    data = tmp_path / "data"
    data.mkdir()
    (data / "only").write_text("x")
    subprocess.run([*command, "run", "--name", "mine", "-l", f"{lower}::{data}", "--", "true"], check=True)
    with Overlay(name="mine") as box:
        assert box.run(["ls"], cwd=lower, stdout=PIPE, text=True).stdout.split() == ["a", "dir"]
    with Overlay(lower, mount_options="ro") as box:
        done = box.run("cat a; touch new", shell=True, cwd=lower, capture_output=True, text=True)
        assert "Read-only file system" in done.stderr
        assert told(box) == []


def test_commit_discard_and_what_is_refused(box: Overlay, lower: Path) -> None:
    box.run("echo 1 >>a; echo 2 >new; rm -r dir", shell=True, cwd=lower, check=True)
    assert [change.path for change in box.discard(["dir"])] == [str(lower / "dir")]
    assert box.commit(["new"], dry_run=True).done[0].path == str(lower / "new")
    assert not (lower / "new").exists()
    assert box.commit(["new"]).refused == {}
    assert (lower / "new").read_text() == "2\n"
    (lower / "a").write_text("the host's\n")
    assert list(box.commit().refused) == [str(lower / "a")]
    assert (lower / "a").read_text() == "the host's\n"
    assert box.commit(force=True).refused == {}
    assert (lower / "a").read_text() == "a\n1\n"
    assert box.changes() == []
    box.run(["rm", "a"], cwd=lower, check=True)
    box.discard()
    assert box.run(["cat", "a"], cwd=lower, stdout=PIPE).stdout == b"a\n1\n"


def test_where_a_fork_is_committed_to(lower: Path) -> None:
    """To the host, with what is below it, or to its parent; what it replaces is kept but in a layer."""
    command = [sys.executable, "-m", "ptoverlay"]
    with Overlay(lower, name="mine") as box:
        box.run("echo mine >>a; touch of", shell=True, cwd=lower, check=True)
        for name in ("to-mine", "to-host"):
            with box.fork(name=name) as fork:
                fork.run(f"echo {name} >>a; rm dir/b", shell=True, cwd=lower, check=True)
                with pytest.raises(Failure, match="it lies on mine"):
                    fork.commit(to="nobody")
        with pytest.raises(Failure, match="a lower of to-host, to-mine"):
            box.commit()
    with Overlay(name="to-host") as fork:
        assert [change.path for change in fork.commit(dry_run=True).done] == [
            str(lower / name) for name in ("a", "dir/b", "of")]
        assert os.listdir(lower / "dir") == ["b"]
        assert fork.commit().refused == {}
        assert (fork.lowers, told(fork), sorted(os.listdir(lower))) == ((str(lower),), [], ["a", "dir", "of"])
        assert (lower / "a").read_text() == "a\nmine\nto-host\n"
        fork.run("echo more >>a", shell=True, cwd=lower, check=True)
        assert fork.commit(keep=False).refused == {}
    Overlay(name="to-host").open().close()
    with Overlay(name="to-mine") as fork:
        assert fork.commit(to="mine").refused == {}
        assert os.listdir(lower / "dir") == []
        assert fork.read(lower / "a") == b"a\nmine\nto-mine\n"
    listed = subprocess.run([*command, "log", "--host"], capture_output=True, text=True, check=True).stdout
    assert listed.count("commit ") == 1
    subprocess.run([*command, "undo", "--host", "--force"], capture_output=True, check=True)
    assert ((lower / "a").read_text(), os.listdir(lower / "dir")) == ("a\n", ["b"])


def test_export(box: Overlay, lower: Path, tmp_path: Path) -> None:
    box.run("echo 1 >new; rm a", shell=True, cwd=lower, check=True)
    made = box.export(tmp_path / "layer.tar.gz", reproducible=True)
    assert made.size == (tmp_path / "layer.tar.gz").stat().st_size
    with tarfile.open(tmp_path / "layer.tar.gz") as tar:
        assert tar.getnames() == [".wh.a", "new"]
    assert box.export(tmp_path / "again.tar.gz", reproducible=True).digest == made.digest
    assert box.export_image(tmp_path / "image").startswith("sha256:")
    with pytest.raises(Failure, match="nowhere"):
        box.export(tmp_path / "nowhere/layer.tar")


def test_import_and_fsck(box: Overlay, lower: Path, tmp_path: Path) -> None:
    box.run("rm -r dir; mkdir dir; echo 1 >dir/new; ln dir/new link", shell=True, cwd=lower, check=True)
    box.export(tmp_path / "layer.tar.zst")
    with Overlay(lower, tmp_path / "upper") as other:
        assert other.fsck() == []
        imported = other.import_layer(tmp_path / "layer.tar.zst")
        assert (imported.entries, imported.owners, imported.devices) == (4, 0, [])
        assert told(other) == told(box)
        with pytest.raises(Failure, match="there is something in it"):
            other.import_layer(tmp_path / "layer.tar.zst")
        os.setxattr(tmp_path / "upper/dir", f"{private.prefix(userxattr=False)}redirect", b"a/b")
        assert [(problem.path, problem.repaired) for problem in other.fsck()] == [("dir", False)]
        with pytest.raises(Failure, match="its layer is broken"):
            other.commit()
        assert [problem.repaired for problem in other.fsck(repair=True)] == [True]
        assert other.fsck() == []
    (tmp_path / "broken.tar").write_bytes((tmp_path / "layer.tar.zst").read_bytes()[:-20])
    with Overlay(lower, tmp_path / "another") as other:
        with pytest.raises(Failure, match=r"broken\.tar"):
            other.import_layer(tmp_path / "broken.tar")
        assert told(other) == []


# ---- several at once ----


def test_overlays_in_threads_and_the_gil(lower: Path) -> None:
    counts: dict[int, list[str]] = {}

    def use(number: int) -> None:
        with Overlay(lower) as box:
            box.run(["sh", "-c", f"sleep 1; touch of-{number}"], cwd=lower, check=True)
            counts[number] = [path for _, path in told(box)]

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    ticks = 0
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.01)
        ticks += 1
    assert counts == {number: [f"of-{number}"] for number in range(4)}
    assert ticks > 20


def test_asyncio(lower: Path) -> None:
    async def one(number: int) -> list[tuple[str, str]]:
        with Overlay(lower) as box:
            done = await box.run_async(["sh", "-c", f"cat >of-{number}; echo out"], cwd=lower, input="in", text=True,
                                       capture_output=True, check=True)
            assert done.stdout == "out\n"
            return told(box)

    async def main() -> None:
        assert await asyncio.gather(*map(one, range(3))) == [[("added", f"of-{number}")] for number in range(3)]
        with Overlay(lower) as box:
            with pytest.raises(FileNotFoundError):
                await box.run_async(["no-such-command"])
            with pytest.raises(subprocess.TimeoutExpired):
                await box.run_async(["sleep", "1000"], timeout=0.5)
            task = asyncio.create_task(box.run_async(["sleep", "1000"]))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            process = await box.start_async(["cat"], stdin=PIPE, stdout=PIPE, cwd=lower / "dir")
            with pytest.raises(Failure, match="running in it"):
                box.run(["true"])
            assert (await process.communicate(b"through"))[0] == b"through"
            process = await box.start_async(["sleep", "1000"])
        assert await process.wait() == -signal.SIGKILL

    asyncio.run(main())
    assert os.listdir(lower.parent / "layers") == []


# ---- the package ----


@pytest.mark.quick
def test_names_are_looked_up_when_they_are_used() -> None:
    code = "import sys, ptoverlay; print('subprocess' in sys.modules, sorted(ptoverlay.__all__) == ptoverlay.__all__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"
    assert set(ptoverlay.__all__) <= set(dir(ptoverlay))
    assert all(getattr(ptoverlay, name).__doc__ for name in ptoverlay.__all__)
    with pytest.raises(AttributeError):
        ptoverlay.nothing  # noqa: B018


@pytest.mark.root_only
def test_all_of_it_as_an_ordinary_user(base: Path) -> None:
    done = subprocess.run([*as_user(USER), sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__,
                           "--basetemp", f"/tmp/ptoverlay-api-{os.getpid()}"],
                          capture_output=True, text=True, check=False, timeout=600, cwd=ROOT_DIRECTORY,
                          env={**os.environ, "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp"})
    subprocess.run(["rm", "-rf", f"/tmp/ptoverlay-api-{os.getpid()}"], check=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr


def test_commands_in_a_named_sandbox_are_steps(lower: Path) -> None:
    """Threads, asyncio, words for other programs; one that changes nothing, or never runs, is none."""
    with Overlay(lower, name="mine") as box:
        box.run("echo one >>a", shell=True, cwd=lower)
        box.run(["cat", "a"], cwd=lower, stdout=PIPE)
        with pytest.raises(FileNotFoundError):
            box.run(["no-such-command"])
        assert asyncio.run(box.run_async("rm dir/b; exit 3", shell=True, cwd=lower)).returncode == 3
        asyncio.run(started(box, ["touch", "new"], lower))
        assert [(step.argv[-1], step.status) for step in box.log()] == [
            ("new", 0), ("rm dir/b; exit 3", 3), ("echo one >>a", 0)]
        newest, middle, oldest = box.log()
        assert oldest.started <= oldest.ended <= middle.started
        assert [change.path for change in box.step_changes(middle.number)] == [f"{lower}/dir/b"]
        assert [step.number for step in box.undo(2)] == [newest.number, middle.number]
        assert told(box) == [("modified", "a")]
        assert (box.redo()[0].number, told(box)) == (middle.number, [("modified", "a"), ("removed", "dir/b")])
        subprocess.run(box.command("echo two >>a", cwd=lower, shell=True), check=True)
        step = box.checkpoint("by hand")
        assert step is not None
        assert (step.message, [change.path for change in box.step_changes(step.number)]) == ("by hand", [f"{lower}/a"])
        assert box.read(lower / "a") == b"a\none\ntwo\n"
        box.undo()
        assert box.read(lower / "a") == b"a\none\n"
        with pytest.raises(Failure, match="only 2 steps to undo"):
            box.undo(3)
    with Overlay(name="mine") as box:
        assert [step.number for step in box.log() if not step.undone] == [oldest.number, middle.number][::-1]
        box.commit()
        assert (box.log(), (lower / "a").read_text()) == ([], "a\none\n")


async def started(box: Overlay, words: list[str], cwd: Path) -> None:
    process = await box.start_async(words, cwd=cwd)
    assert await process.wait() == 0


def test_a_command_that_is_killed_is_a_step(lower: Path) -> None:
    with Overlay(lower, name="mine") as box:
        process = box.start("echo one >>a; echo; exec sleep 60", shell=True, cwd=lower, stdout=PIPE)
        assert process.stdout is not None
        assert process.stdout.read(1) == b"\n"
        process.kill()
        process.communicate()
        assert [(step.status, step.argv[0]) for step in box.log()] == [(None, "/bin/sh")]
    with Overlay(lower) as box, pytest.raises(Failure, match="only a sandbox with a name has steps"):
        box.log()


def test_the_api_and_commands_join_each_other(lower: Path) -> None:
    """What one of them has changed the other sees; a change of the history waits for the end of both."""
    line = [sys.executable, "-m", "ptoverlay", "run", "--name", "mine", "-l", str(lower), "-C", str(lower), "--"]
    shell = subprocess.Popen([*line, "sh"], stdin=PIPE, stdout=PIPE, text=True)
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write("echo one >made; echo in\n")
    shell.stdin.flush()
    assert shell.stdout.readline() == "in\n"
    with Overlay(name="mine") as box:
        done = box.run("cat made; echo two >>made; rm a", shell=True, cwd=lower, stdout=PIPE, text=True)
        assert done.stdout == "one\n"
        shell.stdin.write("cat made; ls a || echo gone\n")
        shell.stdin.flush()
        assert [shell.stdout.readline() for _ in range(3)] == ["one\n", "two\n", "gone\n"]
        step = box.checkpoint("both")
        assert step is not None
        assert "both" in [step.message for step in box.log()]
        with box.fork(name="apart") as fork, box.fork() as bare:
            shell.stdin.write("echo three >>made; echo $?\n")
            shell.stdin.flush()
            assert shell.stdout.readline() == "0\n"
            for each in (fork, bare):
                assert each.run(["cat", "made"], cwd=lower, stdout=PIPE, text=True).stdout == "one\ntwo\n"
            with pytest.raises(Failure, match="goes to what it was forked from"):
                bare.commit()
        with pytest.raises(Failure, match="in use"):
            box.undo()
        sleeping = box.start(["cat"], stdin=PIPE, cwd=lower)
        shell.communicate("exit 0\n")
        joined = subprocess.run([*line, "cat", "made"], stdout=PIPE, text=True, check=True)
        assert joined.stdout == "one\ntwo\nthree\n"
        assert sleeping.stdin is not None
        sleeping.stdin.close()
        assert sleeping.wait() == 0
    subprocess.run([sys.executable, "-m", "ptoverlay", "remove", "apart"], check=True)
    assert sorted(os.listdir(lower)) == ["a", "dir"]


# ---- builds and records ----


@pytest.mark.parametrize("trap", TRAPS)
def test_a_build_with_a_record(lower: Path, trap: Literal["ptrace", "notify"]) -> None:
    """Time, place and random bytes are the build's; each command writes the record anew."""
    record = lower.parent / "record.json"
    script = "date >dir/date; pwd; od -An -tx1 -N4 /dev/urandom; cat a"
    said = []
    for seed in (1, 1, 2):
        with Overlay(lower, trap=trap, mount="/build", build=Build(epoch=86400, seed=seed), record=record) as box:
            said.append(box.run(script, shell=True, capture_output=True, text=True, check=True).stdout)
            assert told(box) == [("added", "dir/date")]
            assert box.read(f"{box.mount}/dir/date") == b"Fri Jan  2 00:00:00 UTC 1970\n"
    assert said[0] == said[1] != said[2]
    assert said[0].startswith("/build\n")
    recorded = json.loads(record.read_text())
    assert [made["path"] for made in recorded["outputs"]] == ["/build/dir/date"]
    assert {"/build/a"} <= {used["path"] for used in recorded["inputs"]}
    record.unlink()
    with Overlay(lower, trap=trap, record=record) as box:
        assert subprocess.call(box.command(["cat", f"{lower}/a"], cwd=lower), stdout=PIPE) == 0
    assert record.exists()


def test_builds_that_cannot_be(lower: Path) -> None:
    with pytest.raises(Failure, match=r"build: a build is no step of a sandbox"):
        Overlay(lower, name="box", build=Build())
    with pytest.raises(Failure, match=r"--listings upside: one of sorted, reversed, shuffled is meant"):
        Build(listings="upside")
    with (Overlay(lower, record=lower / "no/record") as box,
          pytest.raises(Failure, match=rf"--record {lower}/no/record: {lower}/no: no such directory")):
        box.run(["true"])
