"""Ways round the supervisor, refused calls, dropped privileges, races.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import pytest
from support.compare import LISTED, all_of, assert_lines
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
    mounts = ["mount", "mount bind", "umount2", "pivot_root", "unshare mount", "unshare user", "unshare both"]
    expected |= dict.fromkeys([*mounts, "setns", "setns any", "clone mount", "clone user"], "-EPERM")
    wrong = {k: found.get(k) for k, v in expected.items() if found.get(k) != v}
    assert not wrong
    for name in ("open_tree", "move_mount", "fsopen", "fsmount", "mount_setattr"):
        assert found[name] in ("-ENOSYS", "-EPERM"), name
    for name in ("name_to_handle_at", "open_by_handle_at"):
        assert found[name] in ("-ENOSYS", "-EPERM", "-EOPNOTSUPP"), name
    assert "x32" not in found["nothing was made"]
    assert found["file"].startswith("file 0644")
    world.assert_same_tree()


def test_int80(world: World) -> None:
    """Calls through the 32-bit gate never reach the host: refused, or the program is killed; and it is said."""
    world.lay_out_standard()
    program = world.subjects.path("refused", "-no-pie")
    done = world.box().run([program, world.mount, "int80"], env=world.env)
    results = lines(done.out)
    assert done.status != 0 or all(r.startswith("-") for r in results.values())
    assert len(results) == 4 or done.status != 0
    assert len([line for line in done.err.splitlines() if line.startswith("ptoverlay: ")]) == 1, done.err
    world.assert_same_tree()


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
