"""tools/bench: ratios, spreads, tables and targets; peers that are missing, runs that fail; the programs that it runs.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY as TOP

sys.path.insert(0, str(TOP / "tools"))

import bench
from benchmark import peers, rounds, rows, table, targets, trees
from benchmark.peers import NATIVE, Peer, Place
from benchmark.results import Results, Spread

FEW = dataclasses.replace(trees.QUICK, seconds=0.001, entries=20, files=2, big=1 << 20,
                          rounds={trees.CALL: 2, trees.PROGRAM: 1, trees.LONG: 0}, minutes=5)


def results(**figures: dict[str, list[float]]) -> Results:
    """By row (with _ for -) and peer, one a round."""
    made = Results("a machine", {NATIVE: "", "proot": "5.1"})
    for row, by_peer in figures.items():
        for peer, found in by_peer.items():
            for number, figure in enumerate(found):
                made.note(row.replace("_", "-"), peer, number, figure)
    return made


# ---- figures ----


@pytest.mark.quick
def test_a_ratio_is_of_two_figures_of_the_same_round() -> None:
    found = results(stat={NATIVE: [1, 10, 100], "ptrace": [3, 20, 500]})
    assert found.ratio("stat", "ptrace") == Spread(3, 2, 5, 3)  # not 20 / 10, nor 523 / 111


@pytest.mark.quick
def test_rounds_that_only_one_of_the_two_has_do_not_count() -> None:
    found = results(stat={NATIVE: [1, 2], "proot": [8]})
    found.note("stat", "proot", 2, 99)
    assert found.ratio("stat", "proot") == Spread(8, 8, 8, 1)
    assert found.ratio("stat", "ptrace") is None
    assert found.ratio("open", "proot") is None


@pytest.mark.quick
def test_figures_are_the_same_after_json() -> None:
    found = results(stat={NATIVE: [1e-6], "proot": [2e-5]})
    found.close("stat", "proot", "measured once")
    found.missing["sandlock"] = "no sandlock"
    assert Results.from_json(found.to_json()) == found


@pytest.mark.quick
@pytest.mark.parametrize(("value", "shown"), [(0.62, "620 ms"), (1.234, "1.23 s"), (1234.5, "1,234 s"),
                                              (3.9e-6, "3.90 µs"), (6e-7, "600 ns")])
def test_seconds_are_shown_with_a_fitting_unit(value: float, shown: str) -> None:
    assert table.figure(value, rows.SECONDS) == shown


# ---- tables ----


def mixed() -> Results:
    """With a ratio, one that was measured once, a failure, a peer that a row is not for, and a missing peer."""
    found = results(stat={NATIVE: [1e-6, 2e-6], "ptrace": [7e-6, 16e-6], "proot": [20e-6]},
                    copy_4k={NATIVE: [1e-5], "ptrace": [2e-5]}, memory={"ptrace": [11], "proot": [2]})
    found.close("copy-4k", "proot", "no layers")
    found.close("tar", NATIVE, "failed: tar: no space")
    found.missing["sandlock"] = "no module; pip install sandlock"
    return found


@pytest.mark.quick
def test_table_for_a_terminal() -> None:
    lines = table.text(mixed()).splitlines()
    assert lines[0] == "a machine; PRoot 5.1"
    assert lines[1] == "sandlock: missing: no module; pip install sandlock"
    by_title = {line[:40].strip(): line[40:].split() for line in lines[4:]}
    assert by_title["stat"] == ["1.50", "µs", "7.50", "7.00–8.00", "20.0", "once"]
    assert by_title["copy-up of a 4 KiB file (native: a copy)"] == ["10.0", "µs", "2.00", "once"]
    assert by_title["supervisor's memory, gcc build"] == ["11.0", "MiB", "2.00", "MiB"]
    assert by_title["tar x"] == ["failed", "[1]"]
    assert lines[-1] == "[1] failed: tar: no space"


@pytest.mark.quick
def test_table_for_docs_is_restructured_text() -> None:
    from docutils.core import publish_doctree

    tree = publish_doctree(table.rst(mixed()), settings_overrides={"halt_level": 2})
    cells = [entry.astext() for entry in tree.findall(lambda node: node.tagname == "entry")]
    assert cells[:4] == ["", "native", "ptoverlay, ptrace", "PRoot"]
    assert cells[4:8] == ["stat", "1.50 µs", "7.50\n\n7.00–8.00", "20.0\n\nonce"]
    assert "sandlock: missing: no module; pip install sandlock." in tree.astext()
    assert "[1] failed: tar: no space" in tree.astext()


@pytest.mark.quick
def test_page_includes_what_its_figures_say() -> None:
    kept = Results.from_json(bench.FIGURES.read_text())
    for name, text in bench.parts_of_docs(kept).items():
        assert (bench.DOCS / name).read_text() == text, f"{name}: tools/bench --from {bench.FIGURES} --docs"


# ---- targets ----


def verdicts(found: Results) -> dict[str, bool | None]:
    return {target.title: target.met for target in targets.targets(found)}


@pytest.mark.quick
def test_stat_is_measured_from_the_bare_trap() -> None:
    found = results(stat={NATIVE: [1], "notify": [10.9], "ptrace": [10.1]}, floor_notify={NATIVE: [4]},
                    floor_ptrace={NATIVE: [5]})
    met = verdicts(found)
    assert met["stat, notify: beyond the bare trap, in native stats"] is True  # 6.9
    assert met["stat, ptrace: in bare traps"] is False                         # 2.02


@pytest.mark.quick
def test_gain_of_j2_is_beside_what_native_gains() -> None:
    found = results(make_j1={NATIVE: [10], "notify": [20], "ptrace": [20]},
                    make_j2={NATIVE: [5], "notify": [11], "ptrace": [12]})
    met = verdicts(found)
    assert met["hello, notify: what make -j2 gains, of what it gains native"] is True   # 1.82 of 2
    assert met["hello, ptrace: what make -j2 gains, of what it gains native"] is False  # 1.67 of 2


@pytest.mark.quick
def test_rivals_have_to_be_slower_by_a_factor() -> None:
    found = results(stat={NATIVE: [1], "notify": [5], "ptrace": [5], "proot": [25], "sandlock": [24]})
    met = verdicts(found)
    assert met["stat, notify: times as fast as proot"] is True
    assert met["stat, notify: times as fast as sandlock"] is False
    assert met["open, notify: times as fast as sandlock"] is None


@pytest.mark.quick
def test_start_up_is_a_difference_in_milliseconds() -> None:
    met = verdicts(results(start={NATIVE: [0.010], "notify": [0.049], "ptrace": [0.051]}))
    assert met["start-up, notify: more than python3 -c pass"] is True
    assert met["start-up, ptrace: more than python3 -c pass"] is False


@pytest.mark.quick
def test_targets_as_text() -> None:
    wanted = [targets.Target("one", 40, Spread(12, 11, 13, 3), "MiB"), targets.Target("two", 5, None, at_least=True)]
    shown = [line.split() for line in targets.text(wanted).splitlines()]
    assert shown == [["one", "12.0", "≤", "40", "MiB", "met"], ["two", "≥", "5", "not", "measured"]]


# ---- peers and runs ----


def peer(name: str, *words: str, layered: bool = False) -> Peer:
    return Peer(name, name, peers.plain(*words), layered=layered)


@pytest.mark.quick
def test_a_missing_peer_is_named_with_what_installs_it() -> None:
    lost = Peer("lost", "lost", peers.plain("no-such-command"), needs=("no-such-command",), install="install it")
    assert lost.missing() == "no no-such-command; install it"
    broken = Peer("broken", "broken", peers.plain("sh", "-c", "echo not permitted >&2; exit 1"), install="install it")
    assert broken.missing() == "not permitted; install it"
    assert peer("there").missing() == ""


@pytest.mark.quick
def test_a_peer_that_runs_something_else_is_missing() -> None:
    other = Peer("other", "other", peers.plain(), expected="ran with the other trap")
    assert other.missing() == "this machine or this build does not have it"


@pytest.mark.quick
@pytest.mark.parametrize(("said", "told"), [("mount: /usr: no\n  dmesg(1) may have more", "mount: /usr: no"),
                                            ("Traceback (most …):\n  File x\nOSError: no", "OSError: no"), ("\n", "")])
def test_complaint_is_one_line(said: str, told: str) -> None:
    assert peers.complaint(said) == told


def printing(text: str, *, dirty: bool = False) -> rows.Work:
    """A work that prints a text."""
    return rows.Work((rows.Row("stat", "stat"),), "wheel", rows.script(text), dirty=dirty)


@pytest.fixture
def small_bench(tmp_path: Path) -> rounds.Bench:
    return rounds.Bench(tmp_path, rows.Kit({"loop": Path("/loop")}, FEW))


def test_a_run_that_fails_is_a_cell_and_the_others_go_on(small_bench: rounds.Bench) -> None:
    found = Results()
    failing = peer("failing", "sh", "-c", "echo out of order >&2; exit 3")
    rounds.run_all(small_bench, [printing("echo 1.5")], [peer(NATIVE), failing, peer("junk", "echo", "one")], found)
    assert found.figure("stat", NATIVE) == Spread(1.5, 1.5, 1.5, 1)
    assert found.why("stat", "failing") == "failed: out of order"
    assert found.why("stat", "junk").startswith("failed: printed one")


def test_rounds_end_when_time_is_up(tmp_path: Path) -> None:
    """Never before everything was measured once."""
    for minutes, expected in ((0, 1), (5, 2)):
        sizes = dataclasses.replace(FEW, minutes=minutes, rounds={trees.PROGRAM: 2})
        found = Results()
        made = rounds.Bench(tmp_path / str(minutes), rows.Kit({"loop": Path("/loop")}, sizes))
        rounds.run_all(made, [printing("echo 1.5")], [peer(NATIVE)], found)
        assert found.figure("stat", NATIVE) == Spread(1.5, 1.5, 1.5, expected)


def test_a_tree_is_as_it_was_for_every_run(small_bench: rounds.Bench) -> None:
    """A peer without a layer gets a copy, which is removed; so is what a layer held."""
    work = printing("test ! -e new; echo x >new; echo 1", dirty=True)
    for _ in range(2):
        assert small_bench.run(work, peer(NATIVE)) == [1]
    assert not (small_bench.tree("wheel") / "new").exists()
    assert [path.name for path in small_bench.directory.iterdir()] == ["wheel"]


def test_a_run_that_does_not_end_is_given_up(small_bench: rounds.Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "PATIENCE", 0.3)
    with pytest.raises(rounds.Failed, match=r"no end after 0\.3 s"):
        small_bench.run(printing("sleep 600 & wait"), peer(NATIVE))


@pytest.mark.quick
def test_works_and_the_peers_they_are_for() -> None:
    by_row = {work.rows[0].name: work for work in rows.WORKS}
    native, proot, ptrace, kernel = (next(one for one in peers.PEERS if one.name == name)
                                     for name in (NATIVE, "proot", "ptrace", "kernel"))
    assert [by_row["copy-4k"].unfit(one) for one in (native, proot, ptrace)] == ["", "no layers", ""]
    assert [by_row["floor-ptrace"].unfit(one) for one in (native, ptrace)] == ["", "native only"]
    assert [by_row["memory"].unfit(one) for one in (native, kernel, proot)] == ["no supervisor"] * 2 + [""]


@pytest.mark.quick
def test_names_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.arguments(["--peers", "proot,ptrace", "stat", "open"]).peers == ["proot", "ptrace"]
    assert [work.rows[0].name for work in bench.chosen_works(["make-j2", "stat"])] == ["stat", "configure"]
    assert bench.arguments(["history"]).rows == [bench.HISTORY]
    assert bench.chosen_works(["history"]) == []
    with pytest.raises(SystemExit):
        bench.arguments(["fly"])
    assert "fly: not one of stat, " in capsys.readouterr().err


# ---- programs ----


@pytest.mark.debian("gcc", "git", "make", "npm", "tar")
@pytest.mark.parametrize("name", ["native", "notify", "ptrace"])
def test_every_row_has_figures(name: str, tmp_path: Path) -> None:
    """All rows but the long ones and those that want more than this package."""
    bench_ = rounds.Bench(tmp_path, rows.Kit(trees.programs(tmp_path), FEW))
    one = next(one for one in peers.PEERS if one.name == name)
    for work in rows.WORKS:
        if work.kind == trees.LONG or work.unfit(one) or one.missing():
            continue
        figures = bench_.run(work, one)
        assert len(figures) == len(work.rows)
        assert work.memory or min(figures) > 0, work.rows


@pytest.mark.debian("gcc")
def test_a_loop_tells_what_went_wrong(tmp_path: Path) -> None:
    loop = trees.programs(tmp_path)["loop"]
    lost = subprocess.run([loop, "stat", tmp_path, "0.01"], capture_output=True, text=True, check=False)
    assert (lost.returncode, lost.stdout, lost.stderr) == (1, "", "loop: stat small: No such file or directory\n")
    failed = subprocess.run([loop, "run", "1", "false"], capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stdout) == (1, "")


def test_place_is_made_of_a_tree_and_an_empty_layer(small_bench: rounds.Bench) -> None:
    with small_bench.place(printing("echo 1"), peer("layered", layered=True)) as place:
        assert place == Place(small_bench.tree("wheel"), tmp := small_bench.directory / "place/layer")
        assert list(tmp.iterdir()) == []
