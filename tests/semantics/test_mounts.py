"""Mount namespaces of programs inside a view: what they mount is theirs, and the view's answer.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno

import pytest
from support.box import command
from support.oracle import as_user, run
from support.trees import Node
from support.world import World

NODES = [Node("file", content=b"below\n"), Node("other", "dir", 0o755), Node("other/hidden", content=b"under\n"),
         Node("dir", "dir", 0o755), Node("dir/in", content=b"in\n"), Node("dir/sub", "dir", 0o755)]

#: In memory, bound, read-only; what lies below a mount, shows there, or comes back.
MOUNTS = """
mount -t tmpfs -o mode=750 none dir && stat -c '%a %F' dir && ls dir && echo new >dir/new && cat dir/new
mkdir -p dir/a/b && mv dir/new dir/a/b/c && cat dir/a/b/c && ln -s a/b dir/link && cat dir/link/c && stat -c %u:%g dir/a
umount dir && cat dir/in && ls dir
mount --bind dir other && cat other/in && ls other && echo more >other/more && cat dir/more
mount -o remount,bind,ro other; (echo no >other/no) 2>&1; rm other/in 2>&1; echo yes >dir/yes; cat other/yes
mount -t tmpfs none other/sub && echo deep >other/sub/deep && ls dir/sub other/sub
umount other 2>/dev/null || echo busy
umount other/sub && umount other && cat other/hidden
mount --bind file other/hidden && cat other/hidden && echo written >>other/hidden && cat file && umount other/hidden
umount dir 2>/dev/null || echo not mounted
mount --bind dir dir && grep -c " $PWD/dir " /proc/self/mountinfo && findmnt -no FSROOT dir >/dev/null && echo found
cd dir/sub && mount -t tmpfs none "$OLDPWD/other" && ls .. && cd ../../other && ls && pwd -P
"""
#: Namespaces in namespaces: what is mounted in one is not seen around it.
IN_TURN = """
mount -t tmpfs none dir && echo outer >dir/outer
unshare -m sh -c 'ls dir; mount -t tmpfs none other; echo inner >other/inner; echo too >dir/too; ls other'
ls dir other
unshare -rm sh -c 'mount --bind dir other && ls other; umount dir 2>/dev/null || echo locked'
(unshare -m sh -c 'umount dir && ls dir') ; ls dir
"""
#: A root of its own.
PIVOT = """
mount -t tmpfs none dir && mkdir dir/old dir/etc && echo mine >dir/etc/passwd && cd dir && pivot_root . old && cd /
read line </etc/passwd && echo $line && echo /* && test -e /old/usr/bin && echo old is there
/old/bin/umount -l /old 2>/dev/null; cd /; echo made >/etc/new; read line </etc/new && echo $line
"""


@pytest.mark.parametrize("script", [MOUNTS, IN_TURN, PIVOT], ids=["mounts", "in-turn", "pivot"])
def test_mounts(world: World, script: str) -> None:
    """Beside the kernel's mounts over a plain directory, in a user namespace."""
    world.lay_out(NODES)
    words = ["unshare", "-rm", "sh", "-c", script]
    plain = world.plain().run(words, env=world.env)
    found = world.box().run(words, env=world.env)
    assert (found.out, found.status) == (plain.out, plain.status), found.err
    assert plain.out, plain.err
    left = world.box().check(["ls", "other"], env=world.env)
    assert left == "hidden\n"
    world.assert_lowers_untouched()


@pytest.mark.debian("bubblewrap")
def test_bubblewrap(world: World) -> None:
    """A sandbox of its own with a read-only root, and with one that holds almost nothing."""
    world.lay_out(NODES)
    script = "id -u; ls /srv; echo a >/srv/b && cat /srv/b; (echo x >/etc/new) 2>&1; echo q >/dev/null; cat file; " \
             "(echo no >file) 2>&1; test -r /proc/self/status && echo proc; echo $(ls /dev | wc -l) devices"
    bare = "cat /mine/in; echo more >/mine/more; ls /mine; echo /*; (echo x >/usr/new) 2>&1"
    libraries = ["--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
                 "--symlink", "usr/lib64", "/lib64"]
    for words in (["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/srv",
                   "--chdir", str(world.mount), "sh", "-c", script],
                  ["bwrap", *libraries, "--bind", str(world.mount / "dir"), "/mine", "sh", "-c", bare]):
        plain = world.plain().run(words, env=world.env)
        found = world.box().run(words, env=world.env)
        assert (found.out, found.status) == (plain.out, plain.status), found.err
        assert plain.out, plain.err
    world.assert_lowers_untouched()


def test_of_all_of_the_host(world: World) -> None:
    """Over / nothing of it reaches the host; a process namespace of its own begins with the host's /proc.  A program
    does not get its own executable bound, by which container runtimes begin: they copy it then."""
    world.add_lower()
    world.freeze()
    script = "mount -t tmpfs none /mnt && echo a >/mnt/ns-new && mount --bind /mnt /srv && cat /srv/ns-new; " \
             "mount --bind /usr /opt && test -d /opt/bin && echo bound; " \
             "python3 -c 'import ctypes; libc = ctypes.CDLL(None, use_errno=True); " \
             "libc.mount(b\"/proc/self/exe\", b\"/mnt/ns-new\", None, 4096, None); print(ctypes.get_errno())'; " \
             "echo b >/opt/ns-new; cat /usr/ns-new"
    words = ["-l", "/", "-m", "/", "-C", "/", "--trap", world.trap, "--", "unshare", "-rpfm", "--mount-proc",
             "sh", "-c", script]
    done = run([*as_user(world.who), *command(), *words], env=world.env)
    expected = f"a\nbound\n{errno.EPERM}\n" + ("b\n" if world.who.is_root else "")
    assert (done.out, done.status) == (expected, 0 if world.who.is_root else 1), done.err
