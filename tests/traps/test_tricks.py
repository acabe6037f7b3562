"""Ways round the supervisor, refused calls, dropped privileges, races.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import struct
import tempfile
from pathlib import Path

import pytest
from support.box import Box
from support.compare import LISTED, all_of, assert_lines
from support.trees import Node
from support.world import World


def lines(output: str) -> dict[str, str]:
    """What a subject printed, as what → result."""
    return dict(line.split(" = ", 1) for line in output.splitlines() if " = " in line)


def test_refused(world: World) -> None:
    """What would go unseen is refused with the errno that makes programs fall back."""
    world.lay_out_standard()
    found = lines(world.box().check([world.subjects.path("refused"), world.mount], env=world.env))
    unseen = ["io_uring_setup", "io_uring_enter", "io_uring_register", "call 600", "call 1000", "x32 open", "x32 mkdir"]
    expected = dict.fromkeys(unseen, "-ENOSYS")
    mounts = ["mount", "mount bind", "umount2", "pivot_root"]
    expected |= dict.fromkeys([*mounts, "setns", "setns any"], "-EPERM")
    expected["unshare user"] = "0"
    wrong = {k: found.get(k) for k, v in expected.items() if found.get(k) != v}
    assert not wrong
    for name in ("open_tree", "move_mount", "fsopen", "fsmount", "mount_setattr"):
        assert found[name] in ("-ENOSYS", "-EPERM"), name
    assert found["name_to_handle_at"] == "-EOPNOTSUPP"
    assert found["open_by_handle_at"] == ("-ESTALE" if world.who.is_root else "-EPERM")
    assert "x32" not in found["nothing was made"]
    assert found["file"].startswith("file 0644")
    world.assert_same_tree()


@pytest.mark.parametrize("machine", [62, 40])   # EM_X86_64, which is x32; EM_ARM
def test_32_bit_programs(world: World, machine: int) -> None:
    """They are refused with the errno of a kernel that cannot run them; one line names the cause, which a shell does
    not."""
    words = struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    program = b"\x7fELF\1\1\1".ljust(16, b"\0") + words + struct.pack("<8I", 1, 0, 0, 0, 0, 0, 5, 4096)
    world.lay_out([Node("program", mode=0o755, content=program)])
    done = world.box().run(["sh", "-c", "for i in 1 2; do ./program; echo $?; done"], cwd=world.mount, env=world.env)
    assert done.out == "126\n126\n"
    told = [line for line in done.err.splitlines() if line.startswith("ptoverlay: ")]
    expected = r"ptoverlay: sh \(process \d+\): a 32-bit program is refused with ENOEXEC: run a 64-bit build of it"
    assert len(told) == 1
    assert re.fullmatch(expected, told[0])


@pytest.mark.root_only
def test_dropped_privileges(world: World) -> None:
    """A root supervisor answers its children by their own ids, groups and capabilities."""
    world.lay_out_standard()
    program = [world.subjects.path("perms"), world.mount]
    plain = world.plain().check(program, env=world.env)
    box = world.box().check(program, env=world.env)
    all_of(
        lambda: assert_lines("perms in ptoverlay", plain, box, LISTED["box"], "perms", world.who.name),
        world.assert_same_tree,
    )


@pytest.mark.root_only
@pytest.mark.parametrize("trap", ["none"], indirect=True)
def test_dropped_privileges_oracle(world: World) -> None:
    """The kernel's overlayfs agrees with the plain copy there."""
    world.lay_out_standard()
    program = [world.subjects.path("perms"), world.mount]
    plain = world.plain().check(program, env=world.env)
    kernel = world.kernel().check(program, env=world.env)
    assert_lines("perms on the kernel's overlayfs", plain, kernel, LISTED["kernel"], "perms", "root")


def test_path_rewritten_by_a_thread(world: World) -> None:
    """A path that another thread rewrites meanwhile names one of its values, and never the lower to write to."""
    world.lay_out_standard()
    found = lines(world.box().check([world.subjects.path("race"), world.mount], env=world.env))
    assert found["answers"] == "12000 of 12000, other 0"
    assert found["dir holds"] == "a/f b/f c/f sub/d"
    assert found["nope"] == "-ENOENT"
    assert found["dir/a"].startswith("file 0640")


def test_chroot(world: World) -> None:
    """chroot is carried out by who may, and leads into the view."""
    world.lay_out_standard()
    found = lines(world.box().check([world.subjects.path("guarded"), world.mount, "chroot"], env=world.env))
    if "chroot" in found:
        assert (found["chroot"], world.who.is_root) == ("refused", False)
        return
    assert found["chroot file"].startswith("file 0644")
    assert found["chroot dotdot"].startswith("file 0644")
    assert found["chroot write"] == "1"
    assert (world.upper / "dir/b").read_text() == "inside"


def test_directory_above_the_mount_point_is_not_renamed(world: World) -> None:
    """The view appears at a path, which stays: a rename above it is EBUSY and counted."""
    world.lay_out_standard()
    above, beside = world.mount.parent, world.mount.parent.parent / "beside"
    rename = f"import os, sys\ntry: os.rename({str(above)!r}, {str(beside)!r})\nexcept OSError as e: sys.exit(e.errno)"
    found = world.box("--stats").run(["/usr/bin/python3", "-c", rename], env=world.env)
    assert found.status == errno.EBUSY, found.err
    assert " 1 call refused" in found.err
    assert (world.mount.exists(), beside.exists()) == (True, False)


def test_unreadable_program(world: World) -> None:
    """A program that may be executed but not read: root's runs, and what it does is in the view.  An ordinary user's
    is refused, since its memory would be closed to the supervisor."""
    program = world.subjects.path("names").read_bytes()
    world.lay_out_standard(more=[Node("secret-program", mode=0o711 if world.who.is_root else 0o111, content=program)])
    plain = world.plain().check([world.mount / "secret-program", world.mount], env=world.env)
    box = world.box().run([world.mount / "secret-program", world.mount], env=world.env)
    if world.who.is_root:
        assert (box.status, box.out) == (0, plain), box.err
    else:
        assert (box.status, box.out) == (126, ""), box.err
        assert "secret-program" in box.err


@pytest.mark.root_only
def test_devices_of_the_lower(world: World) -> None:
    """Devices and fifos of a lower layer are used in place, not copied up."""
    world.lay_out_standard()
    lower = world.lowers[0]
    os.mknod(lower / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    world.freeze()
    script = "echo x > null; test -c null; cat null; (echo through > fifo) & cat fifo; stat -c '%t %T' null"
    assert world.box().check(["/bin/sh", "-euc", script], env=world.env) == "through\n1 3\n"
    assert list(world.upper.iterdir()) == []
    # Writing through a fifo sets its times, wherever it is.
    world.assert_lowers_untouched(ignore=[r"^fifo$"])
    world.freeze()


def test_terminals(world: World) -> None:
    """/dev/ptmx, /dev/pts and /dev/tty are the host's own."""
    world.lay_out([Node(".", "dir", 0o755)])
    code = "import os, pty; a, b = pty.openpty(); os.write(b, b'hi'); print(os.ttyname(b)[:9], os.read(a, 2).decode())"
    assert world.box().check(["/usr/bin/python3", "-c", code], env=world.env) == "/dev/pts/ hi\n"


def test_long_real_path_of_a_socket(world: World) -> None:
    """A socket whose path in the upper is longer than an address can hold."""
    deep = world.area / ("u" * 60) / ("p" * 60)
    deep.mkdir(parents=True)
    world.upper, world.work = deep / "upper", deep / "work"
    for path in (world.upper, world.work):
        path.mkdir()
        os.chown(path, *world.owner)
    world.lay_out_standard()
    program = [world.subjects.path("socket"), world.mount]
    plain = world.plain().check(program, env=world.env)
    box = world.box().check(program, env=world.env)
    assert_lines("socket in ptoverlay", plain, box, LISTED["long"], "socket", world.who.name)


def test_upper_on_tmpfs(world: World) -> None:
    """The upper and the work directory on a file system of memory, the lower elsewhere."""
    top = Path(tempfile.mkdtemp(prefix="ptoverlay-tests-", dir="/dev/shm"))
    top.chmod(0o755)
    try:
        world.upper, world.work = top / "upper", top / "work"
        for path in (world.upper, world.work):
            path.mkdir(mode=0o755)
            path.chmod(0o755)
            os.chown(path, *world.owner)
        world.lay_out_standard("rename")
        program = [world.subjects.path("rename"), world.mount]
        plain = world.plain().check(program, env=world.env)
        box = world.box().check(program, env=world.env)
        assert_lines("rename in ptoverlay", plain, box, LISTED["box"], "rename", world.who.name)
        world.assert_same_tree()
    finally:
        for path in top.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(top)


def test_symlink_put_into_a_path(world: World) -> None:
    """A path that becomes another one between the check and the open leads nowhere: never to the host's file."""
    world.lay_out([Node(".", "dir", 0o755), Node("t", "dir", 0o755), Node("t/f", content=b"lower")])
    box = Box(world.subjects, world.who, Path("/"), [Path("/")], world.upper, world.work, trap=world.trap)
    program = world.subjects.path("swap")
    found = lines(box.check([program, world.lowers[0], "1000"], env=world.env, cwd=Path("/")))
    assert found["other errors"] == "0"
    assert found["holds"] == "d/d t/d"
    assert (world.lowers[0] / "t/f").read_bytes() == b"lower"


def test_listener_of_its_own(world: World) -> None:
    """A listener inside would be asked instead of the supervisor: there is none, and the call is in the view."""
    world.lay_out([Node(".", "dir", 0o755)])
    found = lines(world.box().check([world.subjects.path("listener"), world.mount], env=world.env))
    assert found == {"listener": "-EBUSY", "mkdir": "0", "filter": "ok"}
    assert (world.upper / "made").is_dir()
    assert not (world.mount / "made").exists()
