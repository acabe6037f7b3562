"""stats, run --report and stats --report; the page is looked at in a browser.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.browser import Browser
from support.oracle import Who
from support.sandboxes import Tool

from ptoverlay.layer.changes import Change, Kind
from ptoverlay.layer.view import Stat
from ptoverlay.reports.report import Section, columns, render, tree
from ptoverlay.reports.stats import Call, Statistics

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


class Rows:
    """The tree of one layer of a page: by path, what its row says, and its differences."""

    def __init__(self, text: str, layer: int = 0) -> None:
        first, *blocks = re.findall(rf'<script [^>]*data-of="{layer}">(.*?)</script>', text, re.DOTALL)
        data = json.loads(first)
        texts = [json.loads(gzip.decompress(base64.b64decode(block))) for block in blocks]
        kinds = json.loads(re.findall('<script [^>]*id="kinds">(.*?)</script>', text)[0])
        self.kind: dict[str, str] = {}
        self.note: dict[str, str] = {}
        self.diff: dict[str, str | None] = {}
        paths: list[str] = []
        for number, name in enumerate(data["name"]):
            up = data["up"][number]
            path = name if up < 0 else f"{paths[up].rstrip('/')}/{name}"
            paths.append(path)
            self.kind[path] = "" if data["kind"][number] < 0 else kinds[data["kind"][number]]
            self.note[path] = data["note"].get(str(number), "")
            if (place := data["diff"].get(str(number))) is not None:
                self.diff[path] = texts[place[0]][place[1]] if place else None


def test_run_with_a_temporary_layer_leaves_a_page(tool: Tool) -> None:
    page = tool.home / "page.html"
    tool.ok("--report", page, "-l", tool.lower, "-C", tool.lower, "--", "sh", "-euc", SCRIPT)
    text = page.read_text()
    assert Page(text).loads == []
    assert "&lt;b&gt;bold&amp;amp;" in text
    assert "<b>bold" not in text
    assert text.count("<script>") == 1
    for word in ("exit status 0", "Where its time went", "execve"):
        assert word in text, word
    assert text.index("Where its time went") < text.index("What it changed")
    rows, lower = Rows(text), tool.lower
    assert {path.removeprefix(f"{lower}/"): kind for path, kind in rows.kind.items() if kind} == {
        "project": "added", "project/src": "added", "project/link": "added", "dir": "removed", "plain": "modified",
        **{f"project/src/file{i}.c": "added" for i in (1, 2, 3)}, "renamed-now": "renamed", "meta": "metadata",
        "<b>bold&amp;": "added"}
    assert rows.note[f"{lower}/renamed-now"] == f"was {lower}/renamed"
    assert rows.note[f"{lower}/dir"] == "with 2 entries"
    assert rows.note[f"{lower}/project/link"] == "symlink"
    assert rows.diff[f"{lower}/plain"] == "@@ -1 +1,2 @@\n plain\n+more"
    assert [path for path in tool.home.iterdir() if path != page] == [], "the layer is left behind"


def test_differences_in_a_page(tool: Tool) -> None:
    """Text, within bounds; what it means to a page does not matter."""
    tool.sh("seq 100000 >long; printf 'a\\nb' >cut; printf x >bin; ln -s a link; echo '</script>' >gone")
    tool.box("one", "seq 2 100001 >long; printf 'a\\nc' >cut; printf '\\0' >bin; ln -sf b link; rm gone; "
             "echo '</script><script>alert(1)</script><!--' >'<script><!--'; touch empty; printf '\\377\\n' >latin")
    tool.ok("stats", "one", "--report", tool.home / "page.html")
    text = (tool.home / "page.html").read_text()
    assert Page(text).loads == []
    assert (text.count("<script>"), text.count("<script>alert"), text.count("<!--")) == (1, 0, 0)
    diff = {path.removeprefix(f"{tool.lower}/"): text for path, text in Rows(text).diff.items()}
    assert diff == {
        "long": None, "cut": "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file",
        "link": "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file",
        "gone": "@@ -1 +0,0 @@\n-</script>", "latin": "@@ -0,0 +1 @@\n+\\xff",
        "<script><!--": "@@ -0,0 +1 @@\n+</script><script>alert(1)</script><!--"}


def test_page_of_a_deep_layer(tool: Tool) -> None:
    tool.sh("i=0; while [ $i -lt 600 ]; do mkdir d; cd -P ./d; touch f; i=$((i + 1)); done", tool.directory("upper"))
    tool.ok("stats", "-u", tool.area / "upper", "-l", tool.lower, "--report", tool.home / "page.html")
    rows = Rows((tool.home / "page.html").read_text())
    assert len([kind for kind in rows.kind.values() if kind == "added"]) == 1200
    assert rows.kind[f"{tool.lower}/{'d/' * 600}f"] == "added"
    tool.sh(f"cd {tool.area}/upper; find . -depth -delete")


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
    assert Rows(text, 0).kind[f"{tool.lower}/here"] == "added"
    assert Rows(text, 1).kind[f"{other}/there"] == "added"


def test_directories_on_the_way_are_one_row(tool: Tool) -> None:
    tool.ok("--report", tool.home / "page.html", "--", "touch", f"{tool.area}/lower/here")
    rows = Rows((tool.home / "page.html").read_text())
    assert list(rows.kind.items()) == [(f"{tool.area}/lower", ""), (f"{tool.area}/lower/here", "added")]


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


def test_page_of_many_changes_has_all_of_them(tool: Tool) -> None:
    tool.box("one", "mkdir many; cd many; seq 7000 | xargs touch")
    tool.ok("stats", "one", "--report", tool.home / "page.html")
    text = (tool.home / "page.html").read_text()
    assert len([kind for kind in Rows(text).kind.values() if kind == "added"]) == 7001
    assert len(text) < 1 << 20


# ---- the page as a browser shows it ----

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


#: Of all tests in a browser: waits for something to be so, and for the next picture.
HELP = """const until = (test) => new Promise((done) => {
        const look = () => (test() ? done() : setTimeout(look, 5)); look(); });
    const paint = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const all = (what) => [...document.querySelectorAll(what)], one = (what) => document.querySelector(what);
    await until(() => document.body && document.body.dataset.ready);
    const search = async (text) => {
        one("input[type=search]").value = text;
        const before = one(".found").textContent;
        one("input[type=search]").dispatchEvent(new Event("input", {bubbles: true}));
        await until(() => one(".found").textContent !== before || text === "" && before === ""); await paint(); };
    const row = (name) => all(".tree details, .tree .row").find((e) => e.querySelector(".text").textContent === name);
    const names = () => all(".tree .text").filter((e) => e.checkVisibility()).map((e) => e.textContent);"""


def script(text: str) -> str:
    """An asynchronous function of it."""
    return f"(async () => {{ {HELP} {text} }})()"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile", WIDTH, HEIGHT) as made:
        yield made


@pytest.mark.debian("chromium")
@pytest.mark.parametrize("who", ["root"], indirect=True)
def test_page_in_a_browser(tool: Tool, tmp_path: Path, browser: Browser) -> None:
    page, shot = tool.home / "page.html", tmp_path / "page.png"
    tool.ok("--report", page, "-l", tool.lower, "-C", tool.lower, "--", "sh", "-euc", f"{SCRIPT}sleep 0.3")
    browser.open(page)
    browser.run(script("await paint();"))
    browser.screenshot(shot)
    width, _, rows = pixels(shot)
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
def test_page_in_a_browser_can_be_searched_and_opened(tool: Tool, browser: Browser) -> None:
    page = tool.home / "page.html"
    tool.ok("--report", page, "-l", tool.lower, "-C", tool.lower, "--", "sh", "-euc", SCRIPT)
    browser.open(page)
    everything = browser.run(script("return names();"))
    assert sorted(everything) == sorted([
        f"{tool.lower}/", "project/", "src/", "file1.c", "file2.c", "file3.c", "link", "<b>bold&amp;", "dir/", "meta",
        "plain", "renamed-now"])
    # project/src/file2.c with its directories and the mount point; dir and the mount point
    assert browser.run(script('await search("file2"); return names();')) == [
        f"{tool.lower}/", "project/", "src/", "file2.c"]
    assert browser.run(script('return one(".found").textContent;')) == "1 of 11"
    assert browser.run(script('await search(""); return names();')) == everything
    assert browser.run(script("""for (const box of all("input[type=checkbox]")) box.checked = box.value === "removed";
        one(".controls").dispatchEvent(new Event("input")); await paint(); await paint(); return names();""")) == [
        f"{tool.lower}/", "dir/"]
    assert browser.run(script("""for (const box of all("input[type=checkbox]")) box.checked = true;
        one(".controls").dispatchEvent(new Event("input")); await paint(); await paint();
        const plain = row("plain"); plain.firstElementChild.click(); await until(() => plain.querySelector("pre span"));
        return [...plain.querySelectorAll("pre span")].map((e) => [e.className, e.textContent]);""")) == [
        ["at", "@@ -1 +1,2 @@\n"], ["", " plain\n"], ["plus", "+more\n"]]
    assert browser.run(script("""row("project/").firstElementChild.click(); await paint();
        return names().includes("src/");""")) is False


#: Milliseconds, on a machine that does much else; alone it is a tenth of these.
LIMITS = {"paint": 6000, "ready": 15000, "filter": 8000, "open": 8000, "differences": 8000}


@pytest.mark.debian("chromium")
@pytest.mark.parametrize("who", ["root"], indirect=True)
def test_page_of_a_hundred_thousand_changes_in_a_browser(tool: Tool, browser: Browser) -> None:
    """Till something is seen, a filter, a folder of 50,000 files, and their differences at a click."""
    status = Stat(1, 1, 1, 100, 8, 0, stat.S_IFREG | 0o644, 0, 0, 0, 0, 0)
    found = [Change(f"/flat/file{i}", Kind.ADDED, status, None, content=True) for i in range(50_000)]
    found += [Change(f"/deep/d{i // 1000}/e{i // 100 % 10}/file{i}", Kind.MODIFIED, status, status, content=True)
              for i in range(50_000)]
    block = base64.b64encode(gzip.compress(json.dumps(["+x"]).encode())).decode()
    counts = {str(kind): sum(change.kind is kind for change in found) for kind in Kind}
    data = columns(tree(found, "/"), {change.path: [0, 0] for change in found})
    page = tool.home / "page.html"
    page.write_text(render([Section(0, "upper layer", "/up", "/", counts, 10**7, 10**7, data, [block])], None, None))
    browser.open(page)
    told = browser.run(script("""const told = {ready: performance.now()}, timed = async (name, what) => {
            const began = performance.now(); await what(); await paint(); told[name] = performance.now() - began; };
        await until(() => performance.getEntriesByName("first-contentful-paint").length);
        told.paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
        await timed("filter", () => search("file4242")); told.found = one(".found").textContent; await search("");
        const flat = row("flat/"); await timed("open", async () => {
            flat.open = true; await until(() => flat.querySelectorAll("summary").length > 1); });
        told.rows = flat.querySelectorAll("summary").length;
        const file = flat.querySelector("details"); await timed("differences", async () => {
            file.open = true; await until(() => file.querySelector("pre span")); });
        told.text = file.querySelector("pre").textContent; return told;"""))
    assert told["found"] == "22 of 100,000"
    assert 200 < told["rows"] < 1000
    assert told["text"] == "+x\n"
    assert {name: told[name] for name in LIMITS if told[name] > LIMITS[name]} == {}
