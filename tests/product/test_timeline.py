"""log --html: the page about the steps, as text and in a browser.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Browser
from support.oracle import USER
from support.sandboxes import Tool

from ptoverlay.history.record import FILE, STEPS, History, HistoryStep

STEPS_OF_MANY, FILES = 40, 500
#: Of the tests in a browser: waits for something to be so; what of a kind is seen.
HELP = """const until = (test) => new Promise((done) => {
        const look = () => (test() ? done() : setTimeout(look, 5)); look(); });
    const all = (what) => [...document.querySelectorAll(what)], one = (what) => document.querySelector(what);
    const seen = (what) => all(what).filter((e) => e.checkVisibility());
    const texts = (what) => seen(what).map((e) => e.textContent);
    await until(() => document.body && document.body.dataset.ready);"""


def script(text: str) -> str:
    return f"(async () => {{ {HELP} {text} }})()"


@pytest.fixture
def tool(area: Path) -> Tool:
    made = Tool(area, USER)
    made.sh("mkdir d; seq 20 >d/text; echo '<b>bold</b>' >b")
    return made


def page_of(tool: Tool, *words: str) -> Path:
    page = tool.home / "page.html"
    tool.ok("log", "one", "--html", page, *words)
    return page


@pytest.fixture
def steps(tool: Tool) -> Tool:
    """Three steps, of which the last one is undone."""
    tool.box("one", "sed -i -e '3s/.*/three/' -e 15d d/text; echo '</script><script>alert(1)</script>' >x; exit 0")
    assert tool("run", "--name", "one", "-C", tool.lower, "--", "sh", "-c", "rm b; mv x y; exit 3").status == 3
    tool.ok("checkpoint", "one", "-m", "<i>named</i>")
    tool.box("one", "mkdir new; touch new/file")
    tool.ok("undo", "one")
    return tool


def test_page_as_text(steps: Tool) -> None:
    """It loads nothing, and nothing of a name or a content becomes markup."""
    text = page_of(steps).read_text()
    assert (text.count("<script>"), text.count("<script>alert"), text.count("<i>named")) == (1, 0, 0)
    assert text.count("&lt;i&gt;named&lt;/i&gt;") >= 2
    assert [text.count(f'data-step="{number}"') for number in (1, 2, 3, 4)] == [1, 1, 1, 0]
    only = page_of(steps, "1").read_text()
    assert [only.count(f'data-step="{number}"') for number in (1, 2, 3)] == [0, 0, 1]
    assert steps.fails("log", "one", "--html", "/nowhere/page") == "--html /nowhere/page: No such file or directory"


def test_page_of_no_steps(tool: Tool) -> None:
    tool.box("one", "true")
    assert "nothing has been changed" in page_of(tool).read_text()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile", 1200, 900) as made:
        yield made


@pytest.mark.debian("chromium")
def test_page_in_a_browser(steps: Tool, browser: Browser) -> None:
    """The newest step is shown first; a click shows another one, its tree, and its differences side by side."""
    browser.open(page_of(steps))
    assert browser.run(script("return texts('.layer h2');")) == ["Step 3 (undone)"]
    assert browser.run(script("return texts('.step b');")) == ["3", "2", "1"]
    assert browser.run(script("return all('.step').map((e) => [...e.classList].slice(1));")) == [
        ["undone"], ["failed"], []]
    assert browser.run(script("one('[data-step=\"2\"]').click(); return texts('.layer h2, .message');")) == [
        "Step 2", "<i>named</i>"]
    found = browser.run(script("return [texts('.tree .kind'), texts('.tree .text'), texts('.tree .note')];"))
    assert found == [["", "removed", "renamed"], [f"{steps.lower}/", "b", "y"], [f"was {steps.lower}/x"]]
    sides = browser.run(script("""one('[data-step="1"]').click();
        const row = seen(".tree details").find((e) => e.querySelector(".text").textContent === "text");
        row.querySelector("summary").click();
        await until(() => row.querySelector(".pair"));
        return [...row.querySelectorAll(".pair")].map((pair) => [...pair.children].map((e) => e.textContent));"""))
    assert sides[2:4] == [["33", "3three"], ["44", "44"]]
    assert [pair for pair in sides if pair[1] == ""] == [["1515", ""]]
    assert sides[-1] == ["1818", "1718"]
    assert browser.run(script("""const [left, right] = seen(".pair")[2].children;
        const colour = (e) => getComputedStyle(e).backgroundColor;
        return [left.getBoundingClientRect().right <= right.getBoundingClientRect().left,
                colour(right) !== colour(seen(".pair.same .new")[0])];
        """)) == [True, True]
    assert browser.run(script("""seen(".step")[2].focus();
        seen(".step")[2].dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowUp"}));
        return [texts(".layer h2")[0], document.activeElement.dataset.step, location.hash];""")) == [
        "Step 2", "2", "#2"]


def many(tool: Tool) -> None:
    """40 steps of 500 changes each, as runs would leave them."""
    tool.box("one", "true")
    home = tool.state / "ptoverlay/sandboxes/one"
    history = History.load(home)
    for number in range(1, STEPS_OF_MANY + 1):
        folder = home / STEPS / str(number) / f"upper/made{number}"
        folder.mkdir(parents=True)
        (home / STEPS / str(number) / "work").mkdir()
        for file in range(FILES - 1):
            (folder / f"file{file}").touch()
        history.steps.append(HistoryStep(number, str(number), argv=["make", f"step{number}"], cwd="/", started=1e9,
                                         ended=1e9 + number, status=0))
    history.next, history.top = STEPS_OF_MANY + 1, str(STEPS_OF_MANY)
    (home / FILE).write_bytes(history.text())
    for path in (home / FILE, *(home / STEPS).rglob("*"), home / STEPS):
        os.chown(path, tool.who.uid, tool.who.gid)


@pytest.mark.debian("chromium")
def test_page_of_many_steps(tool: Tool, browser: Browser) -> None:
    """40 steps and 20,000 changes: small, all there, and shown at once; at 400 pixels nothing is cut off."""
    many(tool)
    page = page_of(tool)
    assert page.stat().st_size < 2 << 20
    browser.open(page)
    assert browser.run(script("return [all('.step').length, texts('.layer h2')[0]];")) == [40, "Step 40"]
    shown = browser.run(script("""const times = [];
        for (const button of all(".step")) {
            const start = performance.now();
            button.click();
            document.body.offsetHeight;
            times.push(performance.now() - start);
        }
        times.sort((a, b) => a - b);
        return [times[20], texts('.layer h2')[0], texts('.tree .number')[0]];"""))
    assert shown[1:] == ["Step 1", str(FILES)]
    assert shown[0] < 500, "a step takes too long to show"
    assert browser.run(script("""const box = seen("input[type=search]")[0]; box.value = "file498";
        box.dispatchEvent(new Event("input", {bubbles: true}));
        await until(() => seen(".found")[0].textContent === "1 of 500"); return texts(".tree .leaf .text");""")) == [
        "file498"]
    browser.resize(400, 800)
    assert browser.run(script("""return [innerWidth, document.documentElement.scrollWidth,
        seen(".step, .tree, .controls, h2").every((e) => e.getBoundingClientRect().right <= 400)];""")) == [
        400, 400, True]
