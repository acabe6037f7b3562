"""The command line and the mount options, without running anything.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import pytest

from ptoverlay import cli, errors, options
from ptoverlay.errors import Failure
from ptoverlay.options import OverlaySpec, Request

pytestmark = pytest.mark.quick


def parse(*words: str) -> Request:
    return cli.parse(list(words))


def mount_options(text: str) -> OverlaySpec:
    overlay = OverlaySpec()
    options.parse_mount_options(text, overlay, "-o", [])
    return overlay


# ---- words ----


def test_command_begins_at_the_first_word_that_is_no_option() -> None:
    request = parse("-v", "ls", "-v", "--upper")
    assert request.argv == ["ls", "-v", "--upper"]
    assert request.verbose == 1


def test_double_dash_ends_the_options() -> None:
    assert parse("--", "-v").argv == ["-v"]
    assert parse("--", "--", "x").argv == ["--", "x"]


def test_run_is_the_subcommand_unless_behind_a_double_dash() -> None:
    assert parse("run", "-v", "run", "x").argv == ["run", "x"]
    assert parse("--", "run").argv == ["run"]


def test_a_single_dash_is_a_command() -> None:
    assert parse("-", "x").argv == ["-", "x"]


@pytest.mark.parametrize("words", [
    ("-u", "/u"), ("-u/u",), ("--upper", "/u"), ("--upper=/u",), ("-vu/u",), ("-vu", "/u"),
])
def test_argument_of_an_option(words: tuple[str, ...]) -> None:
    assert parse(*words, "x").overlays[0].upper == "/u"


def test_empty_value_after_equals_sign_is_a_value() -> None:
    with pytest.raises(Failure, match="empty directory"):
        parse("--upper=", "x")


def test_switches() -> None:
    request = parse("--kill-on-exit", "--strict", "--stats", "--no-inject", "--trace", "t", "-C", "/c", "--trap=ptrace",
                    "x")
    assert (request.kill_on_exit, request.strict, request.stats, request.inject) == (True, True, True, False)
    assert (request.trace, request.chdir, request.trap) == ("t", "/c", options.TRAPS["ptrace"])


def test_quiet_and_verbose_the_last_one_counts() -> None:
    assert parse("-vv", "x").verbose == 2
    assert parse("-v", "-q", "x").verbose == -1
    assert parse("-q", "-v", "x").verbose == 1


def test_places_keep_their_order() -> None:
    request = parse("--direct", "/a", "--hide", "/b", "--read-only", "/c", "x")
    assert request.places == [(options.DIRECT, "/a"), (options.HIDDEN, "/b"), (options.PLACE_READ_ONLY, "/c")]


@pytest.mark.parametrize(("words", "what"), [
    ((), "no command"),
    (("-v",), "no command"),
    (("--nonsense", "x"), "--nonsense: no such option"),
    (("-Z", "x"), "-Z: no such option"),
    (("--upper",), "--upper: needs an argument"),
    (("-u",), "-u: needs an argument"),
    (("--strict=yes", "x"), "--strict: takes no argument"),
    (("--trap", "magic", "x"), "--trap magic"),
    (("-w", "/w", "x"), "--work: there is no upper"),
    (("-o", "nonsense", "x"), "-o nonsense: no such option"),
    (("-o", "mount=/m", "x"), "-o mount=/m: no such option"),
    (("-o", "redirect_dir=nofollow", "x"), "not supported"),
    (("-o", "metacopy=maybe", "x"), "not supported"),
    (("-o", "upperdir=", "x"), "no directory given"),
    (("--overlay", "upperdir=/u", "x"), "no lowerdir="),
    (("-l", "", "x"), "empty directory name"),
    (("-l", "/a:", "x"), "empty directory name"),
    (("-l", ":/a", "x"), "empty directory name"),
    (("-l", "/a:::/b", "x"), "empty directory name"),
    (("-l", "/a::", "x"), "empty directory name"),
    (("-l", "::/a", "x"), "empty directory name"),
    (("-l", "/a::/b:/c", "x"), "data-only"),
    (("-o", "datadir+=/a", "x"), "before any lowerdir+"),
    (("-o", "lowerdir=/a::/b,lowerdir+=/c", "x"), "after a datadir+"),
])
def test_mistakes_are_told(words: tuple[str, ...], what: str) -> None:
    with pytest.raises(Failure) as info:
        parse(*words)
    assert what in str(info.value)
    assert info.value.status == errors.OWN_ERROR


def test_help_names_every_option() -> None:
    text = cli.help_text()
    for option in cli.OPTIONS:
        assert f"--{option.long}" in text if option.long else f"-{option.short}" in text
    assert max(map(len, text.splitlines())) <= 120


# ---- layers ----


def test_defaults() -> None:
    overlay = parse("x").overlays[0]
    assert overlay.layers() == ["/"]
    assert overlay.mount_point() == "/"
    assert overlay.writable
    assert overlay.upper is None


def test_mount_point_is_the_topmost_lower() -> None:
    assert parse("-l", "/a:/b", "x").overlays[0].mount_point() == "/a"
    assert parse("-l", "/a:/b", "-m", "/m", "x").overlays[0].mount_point() == "/m"


@pytest.mark.parametrize(("text", "lowers"), [
    ("/a", ["/a"]),
    ("/a:/b", ["/a", "/b"]),
    (r"/a\:b:/c", ["/a:b", "/c"]),
    (r"/a\\:/b", ["/a\\", "/b"]),
    (r"/a\,b", ["/a,b"]),
    ("/a,b", ["/a,b"]),
    ("/a\\", ["/a\\"]),
    ("/ä ö", ["/ä ö"]),
])
def test_lower_list(text: str, lowers: list[str]) -> None:
    assert parse("-l", text, "x").overlays[0].lowers == lowers


@pytest.mark.parametrize(("text", "lowers"), [
    ("lowerdir=/a:/b", ["/a", "/b"]),
    (r"lowerdir=/a\:b\,c", ["/a:b,c"]),
    (r"lowerdir=/a\\:/b", ["/a\\", "/b"]),
    ("lowerdir+=/a,lowerdir+=/b:c", ["/a", "/b:c"]),
])
def test_lowerdir(text: str, lowers: list[str]) -> None:
    assert mount_options(text).lowers == lowers


@pytest.mark.parametrize(("text", "lowers", "n_data"), [
    ("lowerdir=/a", ["/a"], 0),
    ("lowerdir=/a:/b::/c::/d", ["/a", "/b", "/c", "/d"], 2),
    (r"lowerdir=/a::/b\:c", ["/a", "/b:c"], 1),
    ("lowerdir+=/a,datadir+=/b,datadir+=/c", ["/a", "/b", "/c"], 2),
])
def test_data_only_layers(text: str, lowers: list[str], n_data: int) -> None:
    overlay = mount_options(text)
    assert (overlay.lowers, overlay.n_data) == (lowers, n_data)
    assert overlay.mount_point() == "/a"


def test_upperdir_and_workdir_take_escapes_and_colons() -> None:
    overlay = mount_options(r"lowerdir=/l,upperdir=/u\,v:w,workdir=/w\\")
    assert (overlay.upper, overlay.work) == ("/u,v:w", "/w\\")


def test_lowerdir_without_upperdir_cannot_be_written() -> None:
    assert not mount_options("lowerdir=/a").writable
    assert mount_options("lowerdir=/a,upperdir=/u").writable
    assert not mount_options("lowerdir=/a,upperdir=/u,ro").writable
    assert not mount_options("ro").writable
    assert mount_options("ro,rw").writable


def test_lower_option_without_upper_gets_a_temporary_one() -> None:
    assert parse("-l", "/a:/b", "x").overlays[0].writable


@pytest.mark.parametrize(("text", "flags"), [
    ("ro", options.READ_ONLY),
    ("volatile,userxattr", options.VOLATILE | options.USERXATTR),
    ("redirect_dir=off", options.NO_REDIRECT),
    ("redirect_dir=off,redirect_dir=on", 0),
    ("redirect_dir=follow", options.NO_REDIRECT),
    ("metacopy=on", options.METACOPY),
    ("metacopy=on,metacopy=off", 0),
    ("index=on,xino=on,,defaults", 0),
])
def test_flags(text: str, flags: int) -> None:
    assert mount_options(text).flags == flags


def test_what_has_no_effect_is_noted() -> None:
    assert parse("-o", "index=on,ro", "x").notes == ["-o index=on: accepted, without effect"]


def test_more_overlays_come_after_the_main_one() -> None:
    request = parse("--overlay", "lowerdir=/a,upperdir=/u,mount=/m", "--overlay", "lowerdir=/b", "-u", "/v", "x")
    main, first, second = request.overlays
    assert main.upper == "/v"
    assert (first.lowers, first.upper, first.mount_point(), first.writable) == (["/a"], "/u", "/m", True)
    assert (second.lowers, second.mount_point(), second.writable) == (["/b"], "/b", False)


# ---- messages ----


def test_failure_is_one_line_whatever_is_in_a_name() -> None:
    line = errors.one_line("a\nb\x1b[31m\udcff\u2028ä")
    assert line == "a\\nb\\x1b[31m\\xff\\u2028ä"


@pytest.mark.parametrize(("words", "message"), [
    (("--lowr", "/"), "--lowr: no such option (did you mean --lower? ptoverlay -h shows the options)"),
    (("--kill-on-exti",), "--kill-on-exti: no such option (did you mean --kill-on-exit? "),
    (("--nothing-like-it",), "--nothing-like-it: no such option (ptoverlay -h shows the options)"),
])
def test_a_slip_in_an_option_is_guessed(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(Failure) as failure:
        parse(*words, "x")
    assert str(failure.value).startswith(message)


@pytest.mark.parametrize(("scope", "root", "part"), [
    (3, True, "next boot"), (2, False, "ptrace_scope=1"), (2, True, "container"), (1, False, "container"),
    (-1, False, "container"),
])
def test_remedy_when_ptrace_is_forbidden(scope: int, root: bool, part: str) -> None:
    assert part in errors.ptrace_remedy(scope, root)


def test_message_of_the_core_gets_its_remedy() -> None:
    failure = errors.from_core("/u: in use by another run", 16)
    assert str(failure).startswith("/u: in use by another run (end the other run")
    assert "write $HOME" in str(errors.from_core("~/project: No such file or directory", 2))
    assert str(errors.from_core("", 12)) == "set-up: Cannot allocate memory"
