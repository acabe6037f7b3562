"""Real work of package tools as a fake root: what an ordinary user gets without root, over this system.

    tools/fake-root [--record FILE] [--trap TRAP] [NAME…]

Each piece of work runs as nobody, over / with a throw-away layer, and is good if its last line is what root gets.  It
needs Debian's archive, so no test of the suite runs it.  --record writes the table as docs/ has it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
_AS_NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
_APT = r"""
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
apt-get -qq update >/dev/null
get() { apt-get -qq install -y "$@" >/tmp/log 2>&1 || tail -3 /tmp/log; }
"""
#: Name → the script, and its last line.
WORK = {
    "apt-get install": (_APT + r"""
get memcached
dpkg -s memcached | grep ^Status
stat -c '%U:%G %a' /usr/bin/memcached
id -un memcache
""", "memcache"),
    "apt-get purge": (_APT + r"""
get memcached
apt-get -qq purge -y memcached >/tmp/log 2>&1 || tail -3 /tmp/log
test -e /usr/bin/memcached || echo gone
""", "gone"),
    "pip install": (r"""
cd /tmp && mkdir -p p/one && touch p/one/__init__.py
printf '[project]\nname = "one"\nversion = "1"\n' >p/pyproject.toml
/usr/bin/python3 -m pip install -q --break-system-packages ./p 2>&1 | tail -3
cd / && /usr/bin/python3 -c 'import one, os; print(os.stat(one.__file__).st_uid)'
""", "0"),
    "dpkg -i": (r"""
cd /tmp && mkdir -p t/DEBIAN t/etc && echo x >t/etc/one.conf && echo /etc/one.conf >t/DEBIAN/conffiles
cat >t/DEBIAN/control <<END
Package: one
Version: 1
Architecture: all
Maintainer: me <me@example.org>
Description: one
END
printf '#!/bin/sh\nuseradd -r one\nchown one /etc/one.conf\n' >t/DEBIAN/postinst && chmod 755 t/DEBIAN/postinst
dpkg-deb -b t one.deb >/dev/null && dpkg -i one.deb 2>&1 >/dev/null | tail -3
stat -c %U /etc/one.conf
""", "one"),
    "dpkg-deb --build": (r"""
cd /tmp && mkdir -p t/DEBIAN t/usr/bin && install -o 0 -g tty -m 2755 /bin/true t/usr/bin/one
{ printf 'Package: one\nVersion: 1\nArchitecture: all\n'
  printf 'Maintainer: me <me@example.org>\nDescription: one\n'; } >t/DEBIAN/control
dpkg-deb --build t one.deb >/dev/null && dpkg-deb -c one.deb | tail -1 | cut -c1-19
""", "-rwxr-sr-x root/tty"),
    "make install": (r"""
cd /tmp && printf 'install:\n\tinstall -D -o root -g staff -m 2755 /bin/true /usr/local/bin/made\n' >Makefile
make -s install && made && stat -c '%U:%G %a' "$(command -v made)"
""", "root:staff 2755"),
    "tar --same-owner": (r"""
cd /tmp && mkdir -p t/d && echo x >t/d/f && ln -s f t/d/l && mkfifo t/d/p && mknod t/d/n c 1 3
chown -h -R 12:34 t && chmod 6711 t/d/f && tar --numeric-owner -cf t.tar t && mkdir out
tar --same-owner -p -xf t.tar -C out && cd out && find t -printf '%y%m%U:%G ' | tr ' ' '\n' | sort | tr '\n' ' '
""", "c64412:34 d75512:34 d75512:34 f671112:34 l77712:34 p64412:34"),
    "useradd": (r"""
groupadd -r crew && useradd -r -m -g crew -G tty -d /var/lib/one -s /bin/sh one && echo one:secret | chpasswd
usermod -aG staff one && su one -c 'touch ~/mine' && stat -c '%U:%G' /var/lib/one/mine && id -Gn one
userdel -r one && test ! -e /var/lib/one && echo gone
""", "gone"),
    "install -o": (r"""
install -d -o daemon -g bin -m 1770 /srv/one && install -o games -g 34 -m 4711 /bin/true /srv/one/true
cd /srv/one && stat -c '%U:%g %a' . true | tr '\n' ' '
""", "daemon:2 1770 games:34 4711"),
    "debootstrap": (_APT + r"""
get debootstrap
debootstrap --variant=minbase bookworm /tmp/root http://deb.debian.org/debian >/tmp/log 2>&1 || tail -3 /tmp/log
chroot /tmp/root dpkg -s base-files | grep ^Status
""", "Status: install ok installed"),
    "mmdebstrap": (_APT + r"""
get mmdebstrap
unshare -m mmdebstrap --mode=root --variant=essential bookworm /tmp/root.tar >/tmp/log 2>&1 || tail -3 /tmp/log
tar -tvf /tmp/root.tar ./usr/bin/su | cut -c1-14
""", "-rwsr-xr-x 0/0"),
}


def work(name: str, trap: str) -> tuple[bool, float, str]:
    """Whether it went well, seconds, and what was told."""
    script, wanted = WORK[name]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o777)
        words = [*_AS_NOBODY, str(TOP / ".venv/bin/ptoverlay"), "-q", "-0", "--trap", trap, "-C", "/"]
        done = subprocess.run([*words, "--", "sh", "-c", script], capture_output=True, text=True, check=False,
                              env={**os.environ, "HOME": home})
    lines = done.stdout.strip().splitlines()
    return bool(lines) and lines[-1] == wanted, time.monotonic() - begun, (done.stdout + done.stderr).strip()


def table(rows: list[tuple[str, list[str]]], traps: list[str]) -> str:
    """As docs/ has it."""
    lines = [f"Run on {datetime.date.today().isoformat()} by ``tools/fake-root``, as nobody over a Debian 12:", "",
             ".. list-table::", "   :header-rows: 1", ""]
    for name, told in [("Work", traps), *rows]:
        lines += [f"   * - {name}", *(f"     - {one}" for one in told)]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--trap", choices=("notify", "ptrace"), action="append")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(WORK))
    options = parser.parse_args()
    traps = options.trap or ["notify", "ptrace"]
    rows, failed = [], False
    for name in options.names or WORK:
        told = []
        for trap in traps:
            good, seconds, text = work(name, trap)
            failed |= not good
            told.append("as root" if good else f"fails: {text.splitlines()[-1] if text else 'nothing told'}")
            print(f"{name} by {trap}: {told[-1]}, {seconds:.0f} s", flush=True)
            if not good:
                print(text, file=sys.stderr)
        rows.append((name, told))
    if options.record:
        options.record.write_text(table(rows, traps))
    return failed


if __name__ == "__main__":
    sys.exit(main())
