"""Layers that another user has made are data: their journals, private attributes and work directories give root's tools
no order that the user could not have carried out himself.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from support.oracle import ROOT, USER, Done, Kernel, as_user, run
from support.subjects import Subjects
from support.tool import tool_for
from support.trees import tree

from ptoverlay.commit.journal import Journal
from ptoverlay.errors import who_can_change

pytestmark = pytest.mark.root_only

ID = "0123456789ab"
NAME = f".ptoverlay-{ID}-1"


class Place:
    """A lower of root's, and a layer over it that the user has made."""

    def __init__(self, area: Path) -> None:
        self.lower, self.user = area / "lower", area / "user"
        self.upper, self.work = self.user / "upper", self.user / ".upper.work"
        self.secret = area / "secret"
        self.lower.mkdir()
        self.user.mkdir()
        for name in ("dir", "closed"):
            (self.lower / name).mkdir()
        (self.lower / "closed").chmod(0o700)
        for name in ("file", "closed/key", "dir/below"):
            (self.lower / name).write_text(f"{name} of root\n")
        (self.lower / "private").write_text("for root only\n")
        (self.lower / "private").chmod(0o600)
        self.secret.write_text("outside\n")
        self.secret.chmod(0o600)
        for path in (self.user, self.upper, self.work):
            path.mkdir(exist_ok=True)
            os.chown(path, USER.uid, USER.gid)
        os.chown(self.lower / "dir", USER.uid, USER.gid)  # where he may do as he likes

    def make(self, script: str) -> None:
        """The user's own doings, by hand, in his directory."""
        done = run([*as_user(USER), "sh", "-euc", script], cwd=self.user)
        assert done.status == 0, done.err

    def given(self, path: Path) -> None:
        """Makes all of it the user's."""
        for here, dirs, files in os.walk(path):
            for name in (".", *dirs, *files):
                os.chown(Path(here, name), USER.uid, USER.gid, follow_symlinks=False)

    def root(self, *words: str) -> Done:
        """A tool, by root."""
        layers = ["-l", str(self.lower), "-u", str(self.upper), "-w", str(self.work), "--userxattr"]
        return run(tool_for(ROOT, words[0], *layers, *words[1:]), cwd=self.lower)

    def journal(self, **more: object) -> None:
        """A journal that the user has written."""
        (self.work / "commit").mkdir()
        data = {"id": ID, "lower": str(self.lower), "phase": "placing", "steps": [], "drops": [], "times": {},
                "left_out": {}, "removed_links": [], "prefix": "user.overlay.", "any_owner": False, **more}
        (self.work / "commit/journal").write_text(json.dumps(data))
        self.given(self.work)


@pytest.fixture
def place(area: Path) -> Place:
    return Place(area)


def step(kind: str, path: str, **more: object) -> dict[str, object]:
    return {"kind": kind, "path": path, "temporary": "", "staged": "", "found": None, "made": None, "attributes": None,
            **more}


def identity(path: Path) -> list[int]:
    return [path.lstat().st_dev, path.lstat().st_ino]


def give_away(path: str, real: Path) -> list[dict[str, object]]:
    attributes = {"mode": 0o666, "uid": USER.uid, "gid": USER.gid, "atime": None, "mtime": None, "xattrs": None}
    return [step("attributes", path, made=identity(real), attributes=attributes)]


def test_a_journal_of_others_is_not_carried_out(place: Place) -> None:
    """Not where it would lead out of the lower, nor inside of it; everything says that it is there."""
    before = tree(place.lower)
    place.journal(steps=[*give_away("private", place.lower / "private"),
                         step("remove", "file", temporary=NAME, found="x")])
    done = place.root("commit")
    assert done.status == 125
    assert f"{place.work}/commit/journal belongs to user {USER.uid}" in done.err
    assert "--trust" in done.err
    assert "a commit of it was interrupted" in place.root("diff").err
    found = place.root("fsck")
    assert "others can have written what is left to do" in found.out + found.err
    shown = place.root("commit", "-n")
    assert f"interrupted attributes private (mode 0666, owner {USER.uid}:{USER.gid})\n" in shown.out
    assert "interrupted remove     file\n" in shown.out
    assert tree(place.lower) == before
    assert (place.lower / "private").stat().st_uid == 0
    assert place.root("commit", "--trust").status == 1  # the file is not what was expected
    assert stat.S_IMODE((place.lower / "private").stat().st_mode) == 0o666


@pytest.mark.parametrize("path", ["../secret", "dir/../../secret", "/secret", "./private", "dir//below", "a\0b", ""])
def test_paths_of_a_journal(place: Place, path: str) -> None:
    """Whoever has written it: none leads out of the lower, or is written otherwise than a commit writes it."""
    for steps in (give_away(path, place.secret), [step("remove", path, temporary=NAME)],
                  [step("put", "new", temporary=path, made=identity(place.secret))],
                  [step("put", "new", temporary=NAME, staged=path)],
                  [step("put", "new", temporary="private", made=identity(place.lower / "private"))]):
        if path == "" and steps[0]["kind"] == "attributes":
            continue  # the top of the lower has no name
        if path == "" and steps[0]["staged"] == "" and steps[0]["temporary"] == NAME and steps[0]["path"] == "new":
            continue
        place.journal(steps=steps)
        os.chown(place.user, 0, 0)
        for words in (["commit", "--trust"], ["commit"], ["commit", "-n"]):
            done = place.root(*words)
            assert (done.status, done.out) == (125, ""), (steps, done)
            assert "not the journal of a commit" in done.err or "belongs to user" in done.err
        run(["rm", "-r", place.work / "commit"])
    assert stat.S_IMODE(place.secret.stat().st_mode) == 0o600
    assert place.secret.read_text() == "outside\n"


@pytest.mark.parametrize("field", [
    {"steps": 5}, {"steps": [{}]}, {"steps": [["kind"]]}, {"drops": [step("put", "x")]}, {"phase": "over"},
    {"prefix": "security."}, {"times": {"../secret": 5}}, {"times": {"file": "x"}}, {"removed_links": [["../x", 5]]},
    {"left_out": {"..": "why"}}, {"drops": [{"path": "../upper", "directory": True, "found": [1, 0, 0]}]},
    {"id": 5}, {"lower": None}, {"more": 1}, {"steps": [step("attributes", "file", attributes={"mode": 0o10000,
                                                                                              "uid": 0, "gid": 0})]},
])
def test_fields_of_a_journal(place: Place, field: dict[str, object]) -> None:
    before = tree(place.lower)
    place.journal(**field)
    for words in (["commit", "--trust"], ["commit", "-n"]):
        done = place.root(*words)
        assert done.status == 125
        assert done.err.count("\n") == 1, done.err
        assert "not the journal of a commit" in done.err
    assert tree(place.lower) == before


def test_links_in_the_work_directory_are_not_followed(place: Place, area: Path) -> None:
    """Modes, contents and names outside stay what they are."""
    victim = area / "victim"
    victim.mkdir(mode=0o755)
    (victim / "1-2.removed").write_text("outside\n")
    place.make("echo new >upper/dir-file; mkdir .upper.work/commit")
    for link, target in ((".upper.work/commit/.journal.new", place.secret), (".upper.work/links", victim)):
        (place.user / link).symlink_to(target)
    done = place.root("commit")
    assert place.secret.read_text() == "outside\n"
    assert done.status == 125, done
    run(["rm", "-r", place.work])
    place.make("mkdir .upper.work")
    (place.work / "work").symlink_to(victim)
    assert place.root("commit").status == 125
    assert stat.S_IMODE(victim.stat().st_mode) == 0o755
    assert os.listdir(victim) == ["1-2.removed"]


@pytest.mark.parametrize("link", [".upper.work", "upper"])
def test_links_to_directories_of_others_are_not_followed(place: Place, area: Path, link: str) -> None:
    """The user puts a link to what only root may change in the place of his directory."""
    victim = area / "victim"
    for name in (".", "upper", ".upper.work"):
        (victim / name).mkdir(mode=0o700)
    (victim / "upper/file").write_text("root's own\n")
    before = tree(victim)
    place.make(f"echo new >upper/dir-file; mv {link} away; ln -s {victim}/{link} {link}")
    for words in (("commit",), ("commit", "--trust"), ("diff",), ("discard",)):
        done = place.root(*words)
        assert done.status == 125, (words, done)
        assert "a symbolic link of user" in done.err
    assert tree(victim) == before


def set_kept(place: Place, name: str, uid: int, mode: int, rdev: int = 0) -> None:
    value = f"1:{uid}:{uid}:{mode:o}:{rdev:x}:0:0:0".encode()
    os.setxattr(place.upper / name, "user.overlay.ptoverlay.kept", value)


def test_kept_owners_of_others(place: Place) -> None:
    """A file is its owner's, a device is none; a directory that is as below stays as below."""
    place.make("mkdir upper/closed upper/dir; cp /bin/true upper/dir/evil; echo >upper/dir/disk; echo >upper/dir/plain")
    set_kept(place, "dir/evil", 0, stat.S_IFREG | 0o4755)
    set_kept(place, "dir/disk", 0, stat.S_IFBLK | 0o666, os.makedev(8, 0))
    set_kept(place, "closed", 0, stat.S_IFDIR | 0o700)
    (place.upper / "closed").chmod(0o755)
    shown = {change["path"]: change for change in json.loads(place.root("diff", "--json").out)}
    top = f"{place.lower}/"
    assert set(shown) - {str(place.lower)} == {f"{top}dir/evil", f"{top}dir/disk", f"{top}dir/plain"}
    for name, mode in (("evil", "0755"), ("disk", "0644")):
        change = shown[f"{top}dir/{name}"]
        assert (change["uid"], change["type"]) == (USER.uid, "file")
        assert int(change["mode"], 8) & 0o7000 == 0, mode
    found = place.root("fsck")
    assert f"user {USER.uid} says that it belongs to another" in found.out + found.err
    assert place.root("commit").status in (0, 1)
    evil = (place.lower / "dir/evil").stat()
    assert (evil.st_uid, evil.st_mode & 0o7000) == (USER.uid, 0)
    assert stat.S_ISREG((place.lower / "dir/disk").stat().st_mode)
    closed = (place.lower / "closed").stat()
    assert (closed.st_uid, stat.S_IMODE(closed.st_mode)) == (0, 0o700)


def test_a_directory_of_others_that_is_not_as_below(place: Place) -> None:
    """What the user says of a directory that has changed since, or never was so, does not count."""
    place.make("mkdir upper/closed upper/new")
    set_kept(place, "closed", 0, stat.S_IFDIR | 0o777)
    set_kept(place, "new", 0, stat.S_IFDIR | 0o2777)
    place.root("commit")
    closed = (place.lower / "closed").stat()
    assert (closed.st_uid, stat.S_IMODE(closed.st_mode)) == (0, 0o700)
    assert (place.lower / "new").stat().st_uid == USER.uid


def test_what_only_root_may_set_is_asked_for(place: Place) -> None:
    """Set-id bits, owners, capabilities and devices in a layer that another has made; a plain file goes through."""
    place.make("mkdir upper/dir; echo >upper/dir/plain; cp /bin/true upper/dir/setid; chmod 4755 upper/dir/setid")
    place.make("cp /bin/true upper/dir/group; chmod 2755 upper/dir/group; echo mine >upper/file")
    (place.upper / "dir/owned").write_text("")
    os.mknod(place.upper / "dir/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (place.upper / "dir/caps").write_text("")
    os.chown(place.upper / "dir/caps", USER.uid, USER.gid)
    os.setxattr(place.upper / "dir/caps", "security.capability", bytes.fromhex("01000002" "0020" + "00" * 14))
    expected = {"setid": f"set-user-id {USER.uid}", "group": f"set-group-id {USER.gid}", "owned": "owner 0:0",
                "null": "device 1:3, owner 0:0", "caps": "capabilities"}
    diff = place.root("diff").out
    patch = place.root("diff", "-p").out
    for name in ("setid", "group", "null", "caps"):
        line = next(line for line in diff.splitlines() if line.split()[1] == f"{place.lower}/dir/{name}")
        assert expected[name].split(",")[0] in line
        assert any(line.startswith("# ") and expected[name].split(",")[0] in line and f"/dir/{name}" in line
                   for line in patch.splitlines())
    done = place.root("commit")
    assert done.status == 1
    for name, what in expected.items():
        assert (f"{place.lower}/dir/{name}: not committed: user {USER.uid}, whose layer it is, cannot set: {what} "
                "(--trust sets it)\n") in done.err
        assert not os.path.lexists(place.lower / "dir" / name)
    assert f"{place.lower}/file: not committed: user {USER.uid}, whose layer it is, cannot set: owner " in done.err
    assert (place.lower / "dir/plain").exists()
    assert place.root("commit", "--trust").status == 0
    assert stat.S_IMODE((place.lower / "dir/setid").stat().st_mode) == 0o4755
    assert (place.lower / "file").read_text() == "mine\n"


def test_a_layer_of_our_own_is_not_asked_about(place: Place) -> None:
    """Root's own, over what is the user's: the upper has the lower's owner, but it is root who has made it."""
    os.chown(place.lower, USER.uid, USER.gid)
    os.chown(place.user, 0, 0)
    run(["rm", "-r", place.upper, place.work])
    done = run(tool_for(ROOT, "-l", str(place.lower), "-u", str(place.upper), "--", "sh", "-c",
                        f"cp /bin/true {place.lower}/new; chmod 4755 {place.lower}/new"))
    assert (done.status, place.upper.stat().st_uid) == (0, USER.uid)
    done = run(tool_for(ROOT, "commit", "-l", str(place.lower), "-u", str(place.upper)))
    assert (done.status, done.err) == (0, "")
    assert stat.S_IMODE((place.lower / "new").stat().st_mode) == 0o4755


def test_metacopy_of_others(place: Place, subjects: Subjects) -> None:
    """The kernel's answer on the same layers: EPERM, for what would read a lower on the user's word."""
    place.make("mkdir upper/dir; truncate -s 14 upper/dir/leak; echo fine >upper/dir/fine")
    os.setxattr(place.upper / "dir/leak", "user.overlay.metacopy", b"")
    os.setxattr(place.upper / "dir/leak", "user.overlay.redirect", b"/private")
    script = "cat dir/leak; cat dir/fine"
    kernel = Kernel(subjects, ROOT, place.lower, [place.lower], place.upper, place.work, options="userxattr").run(
        ["sh", "-c", script])
    assert (kernel.out, kernel.err) == ("fine\n", "cat: dir/leak: Operation not permitted\n")
    done = run(tool_for(ROOT, "-o", "userxattr", "-l", str(place.lower), "-u", str(place.upper), "-w", str(place.work),
                        "-C", str(place.lower), "--", "sh", "-c", script))
    assert (done.out, done.err) == ("fine\n", "cat: dir/leak: Operation not permitted\n")
    diff = place.root("diff")
    assert "for root only" not in place.root("diff", "-p").out
    assert f"{place.lower}/dir/leak: not looked at: Operation not permitted" in diff.err
    found = place.root("fsck")
    assert f"user {USER.uid} says that its data is in a lower" in found.out + found.err
    assert place.root("commit").status == 125
    assert not (place.lower / "dir/leak").exists()


@pytest.mark.parametrize("as_lower", [False, True])
def test_redirect_of_others(place: Place, subjects: Subjects, as_lower: bool) -> None:
    """A directory that shows one of the lower under another name, on the user's word: EPERM, as by the kernel, which
    follows no redirect where users can set them.  Root's own are followed."""
    (place.lower / "shut").mkdir(0o700)
    (place.lower / "shut/secret").write_text("for root only\n")
    place.make("mkdir -p upper/dir/way; echo fine >upper/dir/fine")
    os.setxattr(place.upper / "dir/way", "user.overlay.redirect", b"/shut")
    script = "cat dir/way/secret; ls dir/way; cat dir/fine"
    lowers = [place.upper, place.lower] if as_lower else [place.lower]
    upper, work = (place.user / "other", place.user / "other-work") if as_lower else (place.upper, place.work)
    for path in (upper, work):
        path.mkdir(exist_ok=True)

    def of_the_tool() -> tuple[str, str]:
        done = run(tool_for(ROOT, "-o", "userxattr", "-l", ":".join(map(str, lowers)), "-m", str(place.lower), "-u",
                            str(upper), "-w", str(work), "-C", str(place.lower), "--", "sh", "-c", script))
        return done.out, done.err

    refused = "cat: dir/way/secret: Operation not permitted\nls: cannot access 'dir/way': Operation not permitted\n"
    kernel = Kernel(subjects, ROOT, place.lower, lowers, upper, work, options="userxattr").run(["sh", "-c", script])
    assert (kernel.out, kernel.err) == ("fine\n", refused)
    assert of_the_tool() == ("fine\n", refused)
    if not as_lower:
        assert f"{place.lower}/dir/way: not looked at: Operation not permitted" in place.root("diff").err
        found = place.root("fsck")
        assert f"user {USER.uid} says that it shows a lower directory" in found.out + found.err
        assert place.root("commit").status == 125
        assert (place.lower / "shut").exists()
        assert "dir/way" in place.root("commit", "-n", "--trust").out
    os.chown(place.upper / "dir/way", 0, 0)
    assert of_the_tool() == ("for root only\nsecret\nfine\n", "")


def test_who_can_change(area: Path) -> None:
    """Owner, permission and links of the object and of every directory above it."""
    path = area / "a/b"
    path.mkdir(parents=True)
    assert who_can_change(str(path)) == ""
    (area / "a").chmod(0o777)
    assert who_can_change(str(path)) == f"{area}/a can be written by others"
    (area / "a").chmod(0o1777)
    assert who_can_change(str(path)) == ""
    os.chown(area / "a", 1000, 0)
    assert who_can_change(str(path)) == f"{area}/a belongs to user 1000"
    (area / "link").symlink_to("a")
    assert who_can_change(str(area / "link")) == f"{area}/link is a symbolic link"
    assert Journal.distrust(str(path)).endswith("No such file or directory")
