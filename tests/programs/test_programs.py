"""Real programs: each gives the same output, status and tree as on a plain copy, as root and as an ordinary user,
and the kernel's overlayfs shows the same tree on the upper that it left.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support import sources, wheels
from support.box import Box
from support.oracle import run
from support.subjects import SOURCES, Subjects
from support.trees import OLD, Node
from support.world import World

ROOT_DIRECTORY = Node(".", "dir", 0o755)
SETTLED = OLD // 10**9


def same_script(
    world: World, script: str, *, ignore: tuple[str, ...] = (), timeout: float = 200, env: dict[str, str] | None = None
) -> str:
    """Runs a shell script on the plain copy and in the box, and compares everything."""
    done = world.same_run(["/bin/sh", "-euc", script], timeout=timeout, env=env)
    assert done.status == 0, done.err[-3000:]
    world.assert_same_tree(ignore=ignore)
    return done.out


def many_files(directory: Path, count: int) -> None:
    """A tree of `count` files of all sizes, with links, modes and directories as a source tree has."""
    for i in range(count):
        path = directory / f"d{i % 23:02}" / f"e{i % 7}" / f"file-{i:04}"
        if i < 23 * 7:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hashlib.sha256(b"%d" % i).digest() * (i % 40))
        if i % 100 == 0:
            path.with_suffix(".link").symlink_to(path.name)
        if i % 101 == 0:
            os.link(path, path.with_suffix(".hard"))
        if i % 50 == 0:
            path.chmod(0o755 if i % 3 else 0o440)


def with_old_time(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """What a tar archive holds, independent of when and by whom it was made."""
    info.mtime = SETTLED
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


@pytest.mark.heavy
def test_tar_and_rm(world: World) -> None:
    """2,500 files unpacked and removed again; and 500 that the lower has."""
    made = world.area / "made"
    many_files(made, 2500)
    with tarfile.open(world.area / "pack.tar", "w") as archive:
        archive.add(made, "tree", filter=with_old_time)
    few = world.area / "few"
    many_files(few, 500)
    pack = (world.area / "pack.tar").read_bytes()
    nodes = [ROOT_DIRECTORY, Node("pack.tar", content=pack), Node("old", "dir", 0o755)]
    for directory, names, files in os.walk(few):
        relative = Path(directory).relative_to(few)
        nodes += [Node(f"old/{relative}/{n}", "dir", 0o755) for n in sorted(names)]
        nodes += [Node(f"old/{relative}/{n}", content=b"old") for n in sorted(files)]
    world.lay_out(nodes)
    same_script(world, "tar xf pack.tar; find tree -type f | wc -l; du -s --apparent-size tree | cut -f1 | wc -l")
    same_script(world, "tar cf - tree | wc -c; rm -rf tree/d0*; rm -rf old/d1*; find . | sort | sha256sum")
    same_script(world, "rm -rf tree old; ls -A")


GIT = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "C",
    "GIT_COMMITTER_EMAIL": "c@example.org",
    "GIT_AUTHOR_DATE": "2001-02-03T04:05:06Z",
    "GIT_COMMITTER_DATE": "2001-02-03T04:05:06Z",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "pack.threads",
    "GIT_CONFIG_VALUE_0": "1",
    "GIT_CONFIG_KEY_1": "safe.directory",
    "GIT_CONFIG_VALUE_1": "*",
}


@pytest.mark.debian("git")
def test_git(world: World) -> None:
    """A repository made in the view, and one of the lower changed, collected and cloned."""
    world.lay_out([ROOT_DIRECTORY])
    lower = world.lowers[0]
    prepare = (
        "git init -q -b main old; cd old; mkdir d; for i in $(seq 60); do echo $i > d/$i; done;"
        "git add .; git commit -qm one; git checkout -qb side; git rm -q d/7; echo x >> d/8; git commit -qam two"
    )
    done = Box.run_as(world.who, ["/bin/sh", "-euc", f"cd {lower}; {prepare}"], {**world.env, **GIT})
    assert done.status == 0, done.err
    world.fill_plain()
    world.freeze()
    script = """
        git init -q -b main new; cd new
        mkdir -p a/b; for i in $(seq 40); do echo $i > a/b/$i; done
        git add .; git commit -qm first; git rm -q a/b/1; git mv a/b/2 a/two; echo more >> a/b/3; git commit -qam second
        git log --stat --format=%H%n%s; git checkout -q HEAD~1; git status --short; ls a/b | wc -l
        git checkout -q main
        git gc -q; git fsck --full; git count-objects -v | grep -v size
        cd ../old; git status --short; git checkout -q main; git merge -q side -m merged; git log --format=%H
        git gc -q --prune=now; git fsck --full; git diff --stat HEAD~1; cd ..
        git clone -q old cloned; git -C cloned log --format=%H; git -C cloned status --short
        git clone -q --no-hardlinks new third; rm -rf cloned/.git/hooks; ls cloned/d | wc -l
        git -C old stash list; git -C new worktree list
    """
    same_script(world, script, env=GIT, ignore=(r"\.git/index$", r"\.git/objects/info/commit-graph"))


@pytest.mark.heavy("user")
@pytest.mark.debian("make", "gcc", "dpkg-dev", "libc6-dev")
def test_configure_make_check(world: World, base: Path, request: pytest.FixtureRequest) -> None:
    """An autotools package of Debian, from source."""
    cache = getattr(request.config, "cache", None)
    archive = sources.fetch("hello", cache.mkdir("debian-source") if cache else base)
    tree = world.area / "source"
    tree.mkdir()
    subprocess.run(["tar", "xf", archive, "-C", tree], check=True)
    (top,) = tree.iterdir()
    world.add_lower().rmdir()
    shutil.move(top, world.lowers[0])
    subprocess.run(["chown", "-R", f"{world.who.uid}:{world.who.gid}", world.lowers[0]], check=True)
    world.fill_plain()
    world.freeze()
    script = """
        ./configure >configure.out 2>&1; make >make.out 2>&1; make check >check.out 2>&1
        ./hello; grep -c ^PASS check.out; make -s install DESTDIR=$PWD/inst; inst/usr/local/bin/hello -g moin
    """
    unstable = r"config\.log$|\.out$|^inst/.*/dir$|^(tests/)?.*\.(trs|log)$"
    same_script(world, script, ignore=(unstable,), timeout=400)


@pytest.mark.heavy("user")
@pytest.mark.debian("python3-venv")
def test_venv_and_pip(world: World) -> None:
    """A virtual environment, a wheel installed in it, and its console script, whose #! exists only in the upper."""
    world.lay_out([ROOT_DIRECTORY, Node(wheels.NAME, content=wheels.write(world.area).read_bytes())])
    script = """
        /usr/bin/python3 -m venv env
        env/bin/pip install -q --no-index --no-compile --disable-pip-version-check ./boxed_demo-1.0-py3-none-any.whl
        env/bin/boxed-demo one two; head -1 env/bin/boxed-demo
        env/bin/pip list --disable-pip-version-check --format=freeze
        env/bin/python -c 'import sys, boxed_demo; print(sys.prefix, sys.executable, boxed_demo.__file__)'
        env/bin/pip uninstall -q -y boxed-demo; ls env/bin | sort
    """
    same_script(world, script, env={"PYTHONDONTWRITEBYTECODE": "1"}, ignore=("__pycache__",))


@pytest.mark.heavy
@pytest.mark.debian("npm")
def test_npm_install(world: World) -> None:
    """A package of a local directory, with a command."""
    nodes = [
        ROOT_DIRECTORY,
        Node("lib", "dir", 0o755),
        Node("lib/package.json", content=b'{"name":"lib","version":"1.0.0","bin":{"lib-cli":"cli.js"}}'),
        Node("lib/index.js", content=b"module.exports = n => n * 2\n"),
        Node("lib/cli.js", mode=0o755, content=b"#!/usr/bin/env node\nconsole.log('cli', require('./index')(21))\n"),
        Node("app", "dir", 0o755),
        Node("app/package.json", content=b'{"name":"app","version":"1.0.0","dependencies":{"lib":"file:../lib"}}'),
        Node("app/main.js", content=b"console.log(require('lib')(4))\n"),
    ]
    world.lay_out(nodes)
    script = """
        cd app; npm install --offline --install-links --no-audit --no-fund --no-progress --loglevel=error >/dev/null
        node main.js; node_modules/.bin/lib-cli; ls -A node_modules; npm root; npm pkg get name --offline
    """
    environment = {"npm_config_cache": str(world.home / "npm"), "npm_config_update_notifier": "false"}
    for name in ("npm", "node"):
        found = shutil.which(name)
        assert found
        environment["PATH"] = f"{world.env['PATH']}:{Path(found).parent}"
    same_script(world, script, env=environment)


@pytest.mark.heavy
@pytest.mark.debian("sqlite3")
def test_sqlite(world: World) -> None:
    """A database of the lower and a new one, both with a write-ahead log, and several writers at once."""
    world.lay_out([ROOT_DIRECTORY])
    prepare = (
        "pragma journal_mode=wal; create table t(x);"
        "with recursive c(x) as (select 1 union all select x+1 from c where x<2000) insert into t select x from c;"
    )
    done = Box.run_as(world.who, ["sqlite3", str(world.lowers[0] / "old.db"), prepare], world.env)
    assert done.status == 0, done.err
    world.fill_plain()
    world.freeze()
    script = f"""
        sqlite3 old.db "update t set x = x * 2 where x % 3 = 0; select count(*), sum(x) from t; pragma integrity_check"
        sqlite3 new.db "{prepare}"
        for i in 1 2 3 4; do
            (for j in 1 2 3 4 5; do
                sqlite3 -cmd '.timeout 60000' new.db "insert into t values ($i * 1000 + $j)"
            done) &
        done; wait
        sqlite3 new.db "select count(*), sum(x) from t; pragma integrity_check; vacuum; pragma wal_checkpoint(truncate)"
        sqlite3 old.db .dump | sha256sum; ls
    """
    same_script(world, script, ignore=(r"new\.db",))


@pytest.mark.heavy
@pytest.mark.debian("make", "gcc", "libc6-dev")
def test_gcc_parallel(world: World) -> None:
    """Twenty C files with headers, built by make -j2, then changed and built again."""
    nodes = [ROOT_DIRECTORY, Node("src", "dir", 0o755), Node("include", "dir", 0o755)]
    for i in range(20):
        nodes.append(Node(f"include/h{i}.h", content=b"int f%d(int);\n" % i))
        call = b"f%d(x - 1)" % (i + 1) if i < 19 else b"x"
        include = b"#include <stdio.h>\n#include <stdlib.h>\n" + b"".join(b'#include "h%d.h"\n' % j for j in range(20))
        nodes.append(
            Node(f"src/f{i}.c", content=include + b"int f%d(int x) { return x > 0 ? %s : %d; }\n" % (i, call, i))
        )
    main = b'#include <stdio.h>\n#include "h0.h"\nint main(void) { printf("%d\\n", f0(7)); return f0(100) != 81; }\n'
    make = (
        b"OBJECTS = $(patsubst src/%.c,build/%.o,$(wildcard src/*.c))\n"
        b"prog: lib.a src/main.o\n\tgcc -o $@ src/main.o lib.a\n"
        b"src/main.o: main.c\n\tgcc -Iinclude -c -o $@ $<\n"
        b"lib.a: $(OBJECTS)\n\tar rcs $@ $(OBJECTS)\n"
        b"build/%.o: src/%.c | build\n\tgcc -O1 -g -MMD -Iinclude -c -o $@ $<\n"
        b"build:\n\tmkdir build\n-include $(wildcard build/*.d)\n"
    )
    nodes += [Node("main.c", content=main), Node("Makefile", content=make)]
    world.lay_out(nodes)
    build = "make -s -j2; ./prog; make -q && echo up to date"
    same_script(world, f"{build}; echo >> include/h3.h; {build}; nm lib.a | grep -c ' T '")


@pytest.mark.debian("busybox-static")
def test_busybox(world: World) -> None:
    """A static program that is many: all of it without the C library's ways."""
    world.lay_out_standard()
    script = """
        b=/bin/busybox; $b cp -a dir copy; $b mv copy/sub moved; $b rm -r emptydir; $b sed -i s/lower/upper/ file
        $b cat file; $b ln -s file s; $b ln file h; $b find . -type f -not -path './full/*' | $b sort
        $b chmod 600 ro; $b stat -c '%n %a %s %h' ro file h; $b tar cf t.tar full; $b rm -r full; $b tar xf t.tar
        $b ls full | $b wc -l; $b rm t.tar; $b touch -d '2001-02-03 04:05:06' big; $b mkdir -p x/y/z; $b rmdir x/y/z
        $b mkfifo p; $b readlink -f abslink; $b du -a dir | $b wc -l; $b pwd; $b which busybox; $b realpath dirlink/..
        $b sh -c 'cd dir && echo "$PWD" && for f in *; do echo $f; done'; $b test -x setuid && echo x
    """
    same_script(world, script)


@pytest.fixture(scope="session")
def go_program(subjects: Subjects) -> Path:
    """The Go subject, static, built once."""
    program = subjects.directory / "program-go"
    if not program.exists():
        cache = subjects.directory / "go-cache"
        env = {**os.environ, "CGO_ENABLED": "0", "GOCACHE": str(cache), "GO111MODULE": "off", "HOME": str(cache)}
        command = ["go", "build", "-o", str(program), str(SOURCES / "program.go")]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return program


@pytest.mark.debian("golang-go")
def test_go(world: World, go_program: Path) -> None:
    """A static Go program in the lower, with eight goroutines at work."""
    nodes = [
        ROOT_DIRECTORY,
        Node("lower", "dir", 0o755),
        Node("lower/changed", content=b"old"),
        Node("lower/removed", "dir", 0o755),
    ]
    nodes += [Node(f"lower/removed/{n}", content=b"x") for n in "xyz"]
    nodes.append(Node("program", mode=0o755, content=go_program.read_bytes()))
    world.lay_out(nodes)
    same_script(world, "./program")


@pytest.mark.root_only
@pytest.mark.debian("dpkg-dev")
def test_dpkg_install(world: World) -> None:
    """A package with maintainer scripts installed over a view of the whole of /."""
    package = world.area / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "usr/share/ptoverlay-demo").mkdir(parents=True)
    (package / "usr/bin").mkdir(parents=True)
    (package / "usr/share/ptoverlay-demo/data").write_text("data\n")
    (package / "usr/bin/ptoverlay-demo").write_text(
        "#!/bin/sh\ncat /usr/share/ptoverlay-demo/data /etc/ptoverlay-demo\n"
    )
    (package / "usr/bin/ptoverlay-demo").chmod(0o755)
    control = (
        "Package: ptoverlay-demo\nVersion: 1.0\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: demo\n"
    )
    (package / "DEBIAN/control").write_text(control)
    (package / "DEBIAN/postinst").write_text("#!/bin/sh\nset -e\necho configured $1 > /etc/ptoverlay-demo\n")
    (package / "DEBIAN/postinst").chmod(0o755)
    subprocess.run(
        ["dpkg-deb", "-b", "--root-owner-group", package, world.area / "demo.deb"], check=True, capture_output=True
    )
    world.lowers.append(Path("/"))
    watched = [Path("/var/lib/dpkg"), Path("/etc"), Path("/usr/bin")]
    before = {p: p.stat().st_mtime_ns for p in [*watched, *Path("/var/lib/dpkg").iterdir()]}
    box = Box(world.subjects, world.who, Path("/"), world.lowers, world.upper, world.work, trap=world.trap)
    script = (
        f"dpkg -i {world.area}/demo.deb >/dev/null; dpkg -s ptoverlay-demo | grep Status; ptoverlay-demo;"
        "dpkg -L ptoverlay-demo | tail -1; ls /var/lib/dpkg/info/ptoverlay-demo.*"
    )
    out = box.check(["/bin/sh", "-ec", script], env={**world.env, "HOME": "/root"}, cwd=Path("/"))
    assert out.splitlines()[:4] == [
        "Status: install ok installed",
        "data",
        "configured configure",
        "/usr/share/ptoverlay-demo/data",
    ]
    assert "/var/lib/dpkg/info/ptoverlay-demo.postinst" in out.splitlines()
    assert not Path("/usr/bin/ptoverlay-demo").exists()
    assert not Path("/etc/ptoverlay-demo").exists()
    assert run(["dpkg", "-s", "ptoverlay-demo"]).status == 1
    assert {p: p.stat().st_mtime_ns for p in [*watched, *Path("/var/lib/dpkg").iterdir()]} == before
    removed = box.check(
        ["/bin/sh", "-ec", "dpkg -P ptoverlay-demo >/dev/null; ls /usr/bin/ptoverlay-demo 2>&1 || true"],
        env={**world.env, "HOME": "/root"},
        cwd=Path("/"),
    )
    assert "No such file" in removed


@pytest.mark.heavy
def test_parallel_stress(world: World) -> None:
    """Eight processes at once in the same directories of the lower."""
    world.lay_out_standard()
    script = """
        for i in 1 2 3 4 5 6 7 8; do (
            for j in 1 2 3 4 5 6; do
                mkdir -p shared/$j/$i; echo $i > shared/$j/$i/f; mv shared/$j/$i/f shared/$j/f$i; rmdir shared/$j/$i
                ln -f file dir/ln-$i; ln -s ../file dir/sym-$i-$j; cp full/entry-0$i$j dir/sub/copy-$i-$j
                rm -f full/entry-1$i$j
                chmod 600 full/entry-2$i$j 2>/dev/null || :; cat full/entry-00$j > /dev/null
                ls full dir shared/$j > /dev/null; rm dir/ln-$i
            done ) & done; wait; ls full | wc -l; ls shared/1
    """
    same_script(world, script)


def test_daemon_outlives_the_command(world: World) -> None:
    """The run ends when the last process has ended; what it did meanwhile is in the view."""
    world.lay_out_standard()
    daemon = "while kill -0 $$ 2>/dev/null; do :; done; rm file; mv dir elsewhere; echo late > from-daemon"
    done = world.box().run(["/bin/sh", "-c", f"({daemon}) >/dev/null 2>&1 & echo started"], env=world.env)
    assert (done.status, done.out, done.err) == (0, "started\n", "")
    world.plain().check(["/bin/sh", "-c", "rm file; mv dir elsewhere; echo late > from-daemon"], env=world.env)
    world.assert_same_tree()


def test_kill_on_exit(world: World) -> None:
    """With --kill-on-exit nothing outlives the command."""
    world.lay_out_standard()
    script = "mkfifo gate; (cat gate; touch never) & echo started"
    done = world.box("--kill-on-exit").run(["/bin/sh", "-c", script], env=world.env, timeout=30)
    assert (done.status, done.out) == (0, "started\n")
    assert not (world.upper / "never").exists()


def test_status_and_signals(world: World) -> None:
    """CMD's own status, and death by the same signal."""
    world.lay_out_standard()
    for status in (0, 1, 3, 125, 126, 127, 255):
        assert world.box().run(["/bin/sh", "-c", f"exit {status}"], env=world.env).status == status
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE, signal.SIGINT):
        assert world.box().run(["/bin/sh", "-c", f"kill -{int(number)} $$"], env=world.env).status == 128 + number


def test_supervisor_killed(world: World) -> None:
    """When the supervisor dies the tracees die with it, and the layers can be used again."""
    world.lay_out_standard()
    command = world.box().wrap(["/bin/sh", "-c", "echo ready; exec cat"], None)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=world.env)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.wait(timeout=30)
    assert process.stdout.read() == "", "the pipe's last writer is gone: the tracee has died"
    process.stdin.close()
    assert world.box().check(["cat", "file"], env=world.env) == "lower file\n"


@pytest.mark.heavy
def test_memory_does_not_grow(world: World) -> None:
    """100,000 open and close of one file add nothing to the supervisor."""
    world.lay_out_standard()
    out = world.box().check([world.subjects.path("openloop"), world.mount, "100000"], env=world.env)
    grew = int(out.split(" = ")[1])
    assert grew < 200, f"the supervisor grew by {grew} KiB"


def test_over_the_whole_root(world: World) -> None:
    """The default lower: everything is seen as it is, and what is changed stays in the upper."""
    world.lay_out([ROOT_DIRECTORY, Node("a", content=b"a")])
    box = Box(world.subjects, world.who, Path("/"), [Path("/")], world.upper, world.work, trap=world.trap)
    target = world.lowers[0]
    script = f"cd {target}; echo b > a; mkdir new; cat a; ls; pwd; test -e /proc/self/exe; echo x > /dev/null"
    script += "; ls -d /usr/bin /etc"
    out = box.check(["/bin/sh", "-ec", script], env=world.env, cwd=Path("/"))
    assert out == f"b\na\nnew\n{target}\n/etc\n/usr/bin\n"
    assert (target / "a").read_bytes() == b"a"
    assert (world.upper / str(target / "a")[1:]).read_bytes() == b"b\n"
    python = box.check(
        [sys.executable, "-c", "import json, os; print(os.getcwd(), json.dumps(1))"], env=world.env, cwd=Path("/usr")
    )
    assert python == "/usr 1\n"
