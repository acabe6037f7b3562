"""User namespaces and their kin inside a view: what a program is there, what it may do, and to whom things belong.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import pytest
from support.trees import Node
from support.world import World

NODES = [Node("file", content=b"below\n"), Node("dir", "dir", 0o755), Node("dir/in", content=b"in\n")]

#: Ids by a map of one id: what is shown, what may be given away, what may be changed, before and after a copy-up.
ONE_ID = """
id -u; id -g; cat /proc/self/uid_map | tr -s ' ' | cut -d' ' -f2,4
stat -c '%u:%g %a %n' . file dir/in /etc/passwd
echo made >new && stat -c '%u:%g %a' new
chown 0:0 file new && echo given
chown 5:5 new 2>&1; chown 5 file 2>&1
chmod 640 file && chown 0 file && stat -c '%u:%g %a' file && cat file
mkdir dir/more && mv dir/in dir/more && rm -r dir && ls
mknod null c 1 3 2>&1
"""
#: A second one in the first, and others beside them.
IN_TURN = """
unshare -r sh -c 'id -u; stat -c %u:%g file; echo more >>file && cat file; chown 7 file 2>&1'
unshare -U stat -c %u:%g file
unshare -rnui sh -c 'hostname inside && hostname; stat -c %u:%g file'
unshare -rpf sh -c 'echo $$; stat -c %u:%g file; cat file'
stat -c %u:%g file
"""


@pytest.mark.parametrize("script", [ONE_ID, IN_TURN], ids=["one-id", "in-turn"])
def test_user_namespace(world: World, script: str) -> None:
    """Beside a plain directory: `unshare -r`, one in another one, and with namespaces of other kinds."""
    world.lay_out(NODES)
    words = ["unshare", "-r", "sh", "-c", script]
    plain = world.plain().run(words, env=world.env)
    found = world.box().run(words, env=world.env)
    assert (found.out, found.err, found.status) == (plain.out, plain.err, plain.status)
    assert plain.out.startswith("0\n0"), plain.err
    world.assert_lowers_untouched()
