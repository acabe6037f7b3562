"""stats, run --report and stats --report; the page is looked at in a browser.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.oracle import Who
from support.sandboxes import LIMIT, Tool

from ptoverlay.stats import Call, Statistics

SCRIPT = """
mkdir -p project/src; for i in 1 2 3; do seq $((i * 1000)) >project/src/file$i.c; done; ln -s src project/link
rm -r dir; echo more >>plain; mv renamed renamed-now; chmod 600 meta; echo x >'<b>bold&amp;'
"""


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    made = Tool(area, who)
    made.sh("mkdir dir; for name in plain renamed meta dir/a dir/b; do echo $name >$name; done")
    return made


# ---- stats ----


def test_stats(tool: Tool) -> None:
    tool.box("one", SCRIPT)
    data = tool.json("stats", "one")
    assert (data["name"], data["lower"]) == ("one", [str(tool.lower)])
    assert {kind: data["layer"][kind] for kind in ("added", "modified", "removed", "renamed", "metadata")} == {
        "added": 7, "modified": 1, "removed": 1, "renamed": 1, "metadata": 1}
    assert data["layer"]["bytes"] == sum(int(size) for size in tool.box(
        "one", "stat -c %s project/src/* plain renamed-now meta '<b>bold&amp;'").split())
    statistics = tool.json("stats", "one")["statistics"]
    assert statistics["calls"]["execve"]["pass"] + statistics["calls"]["execve"]["substitute"] >= 2
    assert statistics["seconds"] > 0
    text = tool.ok("stats", "one")
    assert text.startswith("sandbox one: 7 added, 1 modified, 1 removed, 1 renamed, 1 metadata\n")
    assert re.search(r"^execve +\d+ ", text, re.MULTILINE)
    assert re.search(r"^total +\d+ ", text, re.MULTILINE)


def test_stats_of_directories(tool: Tool) -> None:
    layers = ["-l", str(tool.lower), "-u", str(tool.home / "u")]
    tool.ok(*layers, "-C", tool.lower, "--", "rm", "-r", "dir")
    data = tool.json("stats", *layers)
    assert (data["name"], data["last_run"], data["statistics"], data["layer"]["removed"]) == (None, None, None, 1)
    assert tool.ok("stats", *layers).startswith(f"{tool.home}/u: 1 removed\n")


def test_stats_that_cannot_be_read(tool: Tool) -> None:
    tool.box("one", "true")
    (tool.state / "ptoverlay/sandboxes/one/stats.json").write_text("{}")
    assert "stats.json: not the statistics of a run" in tool.fails("stats", "one")


def test_statistics_keep_their_values() -> None:
    made = Statistics((Call("openat", (1, 2, 3, 4), 5000), Call("stat", (7, 0, 0, 0), 10)), 1, 2, 3, 4, 5, "notify", 6,
                      7.5, 8.5)
    assert Statistics.from_json(made.as_json()) == made
    assert made.totals == Call("total", (8, 2, 3, 4), 5010)


# ---- the page as text ----


class Page(HTMLParser):
    """What a page loads, and whether its elements are closed."""

    EMPTY = frozenset(("meta", "input", "br", "link", "img"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.loads += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_run_with_a_temporary_layer_leaves_a_page(tool: Tool) -> None:
    page = tool.home / "page.html"
    tool.ok("--report", page, "-l", tool.lower, "-C", tool.lower, "--", "sh", "-euc", SCRIPT)
    text = page.read_text()
    assert Page(text).loads == []
    assert "&lt;b&gt;bold&amp;amp;" in text
    assert "<b>bold" not in text
    assert text.count("<script>") == 1
    for word in ("project/", "file3.c", "renamed-now", f"was {tool.lower}/renamed", "with 2 entries", "exit status 0",
                 "Where its time went", "execve", "symlink"):
        assert word in text, word
    assert [path for path in tool.home.iterdir() if path != page] == [], "the layer is left behind"


def test_page_of_a_named_sandbox_is_the_same_later(tool: Tool) -> None:
    pages = [tool.home / "run.html", tool.home / "stats.html"]
    tool.ok("run", "--name", "one", "--report", pages[0], "-l", tool.lower, "-C", tool.lower, "--", "sh", "-euc",
            SCRIPT)
    tool.ok("stats", "one", "--report", pages[1])
    assert pages[0].read_text() == pages[1].read_text()


def test_page_of_several_overlays(tool: Tool) -> None:
    other = tool.directory("other")
    tool.ok("--report", tool.home / "page.html", "-l", tool.lower, "--overlay",
            f"lowerdir={other},upperdir={tool.home}/u,mount={other}", "--", "touch", f"{other}/there",
            f"{tool.lower}/here")
    text = (tool.home / "page.html").read_text()
    assert text.count("What it changed") == 2
    assert ">there<" in text
    assert ">here<" in text


def test_directories_on_the_way_are_one_row(tool: Tool) -> None:
    tool.ok("--report", tool.home / "page.html", "--", "touch", f"{tool.area}/lower/here")
    text = (tool.home / "page.html").read_text()
    assert f'<span class="text">{tool.area}/lower/</span>' in text
    assert text.count("<details") == 1
    assert ">here<" in text


def test_page_of_a_failed_command(tool: Tool) -> None:
    page = tool.home / "page.html"
    assert tool("--report", page, "-l", tool.lower, "--", "sh", "-c", "kill -KILL $$").status == 128 + 9
    assert "ended by signal 9" in page.read_text()
    assert "Nothing." in page.read_text()


def test_page_that_cannot_be_written_is_told_before_the_command_runs(tool: Tool) -> None:
    assert tool.fails("--report", tool.home / "no/page.html", "-l", tool.lower, "--", "touch", tool.home / "ran") == (
        f"--report {tool.home}/no/page.html: No such file or directory")
    assert not (tool.home / "ran").exists()
    tool.box("one", "true")
    assert "No such file or directory" in tool.fails("stats", "one", "--report", tool.home / "no/page.html")


def test_page_of_many_changes_is_small(tool: Tool) -> None:
    tool.box("one", "mkdir many; cd many; seq 7000 | xargs touch")
    tool.ok("stats", "one", "--report", tool.home / "page.html")
    text = (tool.home / "page.html").read_text()
    assert "7,001 changes" in text.replace('<span class="number">7,001</span>', "7,001 changes")
    assert "and 2,001 more" in text
    assert len(text) < 2 << 20


# ---- the page as a browser shows it ----

CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"]
WIDTH, HEIGHT = 1200, 1300


def pixels(png: Path) -> tuple[int, int, list[bytes]]:
    """Width, height and rows (RGB or RGBA bytes) of a PNG of 8 bits (the PNG specification, chapters 5 and 9)."""
    data = png.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    assert (depth, colour) in ((8, 2), (8, 6))
    size, packed, at = 3 if colour == 2 else 4, b"", 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        packed += data[at + 8:at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    return width, height, list(_unfiltered(zlib.decompress(packed), width * size, size))


def _unfiltered(raw: bytes, length: int, size: int) -> Iterator[bytes]:
    before = bytearray(length)
    for at in range(0, len(raw), length + 1):
        kind, row = raw[at], bytearray(raw[at + 1:at + 1 + length])
        for i in range(length):
            left = row[i - size] if i >= size else 0
            corner = before[i - size] if i >= size else 0
            row[i] = row[i] + _predicted(kind, left, before[i], corner) & 255
        before = row
        yield bytes(row)


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:
        guess = left + up - corner
        return min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
    return (0, left, up, (left + up) // 2)[kind]


def browse(page: Path, out: Path, *flags: str) -> str:
    """Opens the page in headless Chromium; its standard output."""
    done = subprocess.run([*CHROMIUM, f"--user-data-dir={out}/profile", f"--window-size={WIDTH},{HEIGHT}", *flags,
                           page.as_uri()], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.debian("chromium")
@pytest.mark.parametrize("who", ["root"], indirect=True)
def test_page_in_a_browser(tool: Tool, tmp_path: Path) -> None:
    page, shot = tool.home / "page.html", tmp_path / "page.png"
    tool.ok("--report", page, "-l", tool.lower, "-C", tool.lower, "--", "sh", "-euc", f"{SCRIPT}sleep 0.3")
    browse(page, tmp_path, f"--screenshot={shot}")
    width, height, rows = pixels(shot)
    assert (width, height) == (WIDTH, HEIGHT)
    size = len(rows[0]) // width
    colours = {row[at:at + 3] for row in rows for at in range(0, len(row), size)}
    # the colours of the kinds and of the bars are on it, and the page is not blank below its head
    for colour in ("1a7f37", "9a6700", "cf222e", "0b6e99"):
        assert bytes.fromhex(colour) in colours, colour
    lines = [number for number, row in enumerate(rows) if len(set(row)) > 3]
    assert max(lines) > 800, "nothing is drawn on the lower part"
    # nothing is wider than the window
    assert all(row[-8 * size:] == row[:size] * 8 for row in rows)


@pytest.mark.debian("chromium")
@pytest.mark.parametrize("who", ["root"], indirect=True)
def test_page_in_a_browser_can_be_searched(tool: Tool, tmp_path: Path) -> None:
    page = tool.home / "page.html"
    tool.ok("--report", page, "-l", tool.lower, "-C", tool.lower, "--", "sh", "-euc", SCRIPT)
    script = """<script>
        const shown = () => [...document.querySelectorAll(".tree .text")].filter((e) => e.offsetParent).length;
        const box = document.querySelector(".controls"), report = [shown()];
        const press = () => { box.dispatchEvent(new Event("input")); report.push(shown()); };
        box.querySelector("input[type=search]").value = "file2"; press();
        box.querySelector("input[type=search]").value = ""; press();
        for (const kind of box.querySelectorAll("input[type=checkbox]")) kind.checked = kind.value === "removed";
        press(); document.title = "shown " + report.join(" ");
        </script></body>"""
    page.write_text(page.read_text().replace("</body>", script))
    dom = browse(page, tmp_path, "--dump-dom")
    title = re.search(r"<title>shown (.*)</title>", dom)
    assert title is not None
    everything, found, again, removed = map(int, title[1].split())
    # project/src/file2.c with its directories and the mount point; dir and the mount point
    assert (found, again, removed) == (4, everything, 2)
    assert everything == 12
