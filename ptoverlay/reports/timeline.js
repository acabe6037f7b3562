// Steps on a time line: SPDX-License-Identifier: GPL-2.0-or-later
//
// A step's tree is made when the step is first chosen; # and its number in the address choose one, the arrow keys the next.

// Trees with the differences side by side, and below each other where there is no room.
class StepTree extends Tree {
    lines(made, lines) {
        const table = element("div", "sides");
        let before = 0, after = 0, old = [], now = [];
        const cell = (side, sign, number, text) => {
            const made = element("span", `side ${side} ${sign}`);
            made.append(element("i", "", number ? String(number) : ""), element("span", "", text));
            return made;
        };
        const flush = () => {
            for (let i = 0; i < Math.max(old.length, now.length); i++) {
                const row = element("div", "pair");
                row.append(i < old.length ? cell("old", "minus", ...old[i]) : cell("old", "none", 0, ""),
                    i < now.length ? cell("new", "plus", ...now[i]) : cell("new", "none", 0, ""));
                table.append(row);
            }
            old = [];
            now = [];
        };
        for (const line of lines) {
            const text = line.slice(1), places = /^@@ -(\d+)\S* \+(\d+)/.exec(line);
            if (line[0] === "-") {
                if (now.length) flush();
                old.push([before++, text]);
            } else if (line[0] === "+") {
                now.push([after++, text]);
            } else if (line[0] === "\\") {
                const last = now.length ? now : old;
                if (last.length) last[last.length - 1][1] += " ⏎̸";
            } else if (places) {
                flush();
                [before, after] = [Number(places[1]), Number(places[2])];
                table.append(element("div", "at", line));
            } else {
                flush();
                const row = element("div", "pair same");
                row.append(cell("old", "", before++, text), cell("new", "", after++, text));
                table.append(row);
            }
        }
        flush();
        made.append(table);
    }
}

const trees = new Map();
const buttons = [...document.querySelectorAll(".step")];

const choose = (number) => {
    const button = buttons.find((each) => each.dataset.step === number);
    if (!button) return;
    for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
    for (const each of document.querySelectorAll(".layer")) each.hidden = each.dataset.number !== number;
    const section = document.getElementById(`step-${number}`);
    if (!trees.has(number) && section.querySelector(".tree")) trees.set(number, new StepTree(section));
    button.scrollIntoView({block: "nearest", inline: "nearest"});
    document.body.dataset.ready = number;
};

for (const button of buttons) {
    button.addEventListener("click", () => {
        history.replaceState(null, "", `#${button.dataset.step}`);
        choose(button.dataset.step);
    });
    button.addEventListener("keydown", (event) => {
        const to = {ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1}[event.key];
        const next = to && buttons[buttons.indexOf(button) + to];
        if (!next) return;
        event.preventDefault();
        next.focus();
        next.click();
    });
}
addEventListener("hashchange", () => choose(location.hash.slice(1)));
// After the first screen is painted.
requestAnimationFrame(() => setTimeout(() => {
    choose(location.hash.slice(1));
    if (!document.body.dataset.ready && buttons.length) choose(buttons[0].dataset.step);
    document.body.dataset.ready ||= "none";
}));
