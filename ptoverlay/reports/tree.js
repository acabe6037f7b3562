// Trees of changes: SPDX-License-Identifier: GPL-2.0-or-later
//
// The rows of a folder are made when it is opened, some hundred at a time, the differences of a file when it is. Rules:
// no text becomes markup; nothing here takes longer for a folder that is closed; nothing recurses over the tree.
"use strict";
const KINDS = JSON.parse(document.getElementById("kinds").textContent);
const AT_ONCE = 300; // rows of a folder that are made at a time
const FIRST = 60; // rows that are shown before anything is opened, as far as whole folders go
const FOUND = 200; // rows with a match down to which folders are opened

const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text) made.textContent = text;
    return made;
};

const human = (size) => {
    let unit = 0;
    for (; Math.abs(size) >= 1024 && unit < 5; unit++) size /= 1024;
    return (unit === 0 || size >= 10 ? size.toFixed(0) : size.toFixed(1)) + "BKMGTP"[unit];
};

class Tree {
    constructor(section) {
        this.section = section;
        const [rows, ...packed] = document.querySelectorAll(`script[data-of="${section.dataset.number}"]`);
        this.rows = JSON.parse(rows.textContent);
        this.packed = packed;
        this.count = this.rows.up.length;
        this.sum();
        this.wanted = null; // numbers of matches below each row, null for all
        this.opened = new Set();
        this.openFirst();
        this.show();
        const controls = section.querySelector(".controls");
        let timer = 0;
        controls.addEventListener("input", () => {
            clearTimeout(timer);
            timer = setTimeout(() => this.filter(controls), this.count > 5000 ? 150 : 0);
        });
    }

    // Sizes and numbers of changes of all that is below; the children of each row.
    sum() {
        const {up, kind, size, old} = this.rows;
        this.size = Float64Array.from(size);
        this.changes = Uint32Array.from(kind, (each) => (each >= 0 ? 1 : 0));
        this.children = new Map();
        for (let i = this.count - 1; i > 0; i--) {
            this.size[up[i]] += this.size[i];
            this.changes[up[i]] += this.changes[i];
        }
        for (let i = 1; i < this.count; i++) {
            if (!this.children.has(up[i])) this.children.set(up[i], []);
            this.children.get(up[i]).push(i);
        }
    }

    // The outermost folders, as long as all that they show is a screen.
    openFirst() {
        const todo = [0];
        let rows = 1;
        for (let at = 0; at < todo.length; at++) {
            const below = this.children.get(todo[at]) || [];
            if (at && rows + below.length > FIRST) continue;
            rows += below.length;
            this.opened.add(todo[at]);
            todo.push(...below.slice(0, FIRST).filter((child) => this.children.has(child)));
        }
    }

    path(i) {
        const names = [];
        for (; i >= 0; i = this.rows.up[i]) names.push(this.rows.name[i].replace(/\/$/, ""));
        return names.reverse().join("/") || "/";
    }

    // The paths of all rows, made once: what a search looks through.
    paths() {
        if (!this.all) {
            const {up, name} = this.rows;
            this.all = [name[0]];
            for (let i = 1; i < this.count; i++) this.all.push(this.all[up[i]].replace(/\/$/, "") + "/" + name[i]);
        }
        return this.all;
    }

    filter(controls) {
        const text = controls.querySelector("input[type=search]").value;
        const boxes = [...controls.querySelectorAll("input[type=checkbox]")];
        const kinds = new Set(boxes.filter((box) => box.checked).map((box) => KINDS.indexOf(box.value)));
        if (!text && kinds.size === boxes.length) {
            this.wanted = null;
            this.opened = new Set();
            this.openFirst();
        } else {
            this.match(text, kinds);
        }
        this.show();
    }

    match(text, kinds) {
        const {up, kind} = this.rows, paths = this.paths();
        this.wanted = new Uint32Array(this.count);
        for (let i = this.count - 1; i >= 0; i--) {
            if (kinds.has(kind[i]) && paths[i].includes(text)) this.wanted[i]++;
            if (i) this.wanted[up[i]] += this.wanted[i];
        }
        const few = this.wanted[0] <= FOUND;
        this.opened = new Set([0]);
        for (let i = 1; few && i < this.count; i++) {
            if (this.wanted[i] && this.children.has(i)) this.opened.add(i);
        }
    }

    show() {
        const tree = this.section.querySelector(".tree"), wanted = this.wanted ? this.wanted[0] : this.changes[0];
        tree.replaceChildren(wanted ? this.row(0) : element("div", "row more", "nothing"));
        const found = this.section.querySelector(".found");
        found.textContent = this.wanted ? `${wanted.toLocaleString("en")} of ${this.changes[0].toLocaleString("en")}` : "";
        // What is in the folders that are open; each of them opens its own.
        for (const todo = [tree]; todo.length;) {
            for (const folder of todo.pop().querySelectorAll(":scope > details, :scope > .below > details")) {
                if (this.opened.has(Number(folder.dataset.row)) && this.children.has(Number(folder.dataset.row))) {
                    this.fill(folder);
                    folder.open = true;
                    todo.push(folder);
                }
            }
        }
    }

    row(i) {
        const opens = this.children.has(i) || i in this.rows.diff;
        const cells = this.cells(i);
        if (!opens) {
            const made = element("div", "row leaf");
            made.append(...cells);
            return made;
        }
        const made = element("details"), head = element("summary");
        made.dataset.row = i;
        head.append(...cells);
        made.append(head);
        made.addEventListener("toggle", () => made.open && this.fill(made));
        return made;
    }

    cells(i) {
        const {name, kind, dir, note} = this.rows;
        const named = element("span", "name"), folder = this.children.has(i);
        named.append(element("span", `kind ${KINDS[kind[i]] || ""}`, KINDS[kind[i]]), " ",
            element("span", "text", name[i] + (dir[i] && !name[i].endsWith("/") ? "/" : "")));
        if (note[i]) named.append(" ", element("span", "note", note[i]));
        const cells = [named];
        const count = (this.wanted || this.changes)[i];
        if (folder) cells.push(element("span", count === 1 ? "number one" : "number", count.toLocaleString("en")));
        cells.push(element("span", "size", this.size[i] ? human(this.size[i]) : ""));
        return cells;
    }

    // Makes what belongs below a row, once.
    fill(details) {
        if (details.childElementCount > 1) return;
        const i = Number(details.dataset.row), below = element("div", "below");
        details.append(below);
        if (i in this.rows.diff) this.difference(i, below);
        const all = this.children.get(i) || [];
        this.more(below, this.wanted ? all.filter((child) => this.wanted[child]) : all, 0);
    }

    // Some hundred rows of a folder; the next ones when the end of these comes into sight.
    more(below, all, from) {
        const to = Math.min(from + AT_ONCE, all.length);
        below.append(...all.slice(from, to).map((child) => this.row(child)));
        if (to === all.length) return;
        const next = element("button", "row more", `${(all.length - to).toLocaleString("en")} more`);
        const go = () => {
            watcher.disconnect();
            next.remove();
            this.more(below, all, to);
        };
        const watcher = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && go(),
            {rootMargin: "300px"});
        next.addEventListener("click", go);
        below.append(next);
        watcher.observe(next);
    }

    async difference(i, below) {
        const place = this.rows.diff[i], made = element("pre", "diff");
        below.append(made);
        if (!place) {
            made.textContent = `too long for this page: ptoverlay diff -p … ${this.path(i)}`;
            return;
        }
        const texts = await this.block(place[0]);
        this.lines(made, texts[place[1]].split("\n"));
    }

    // Shows a unified diff.
    lines(made, lines) {
        for (const line of lines) {
            const sign = {"+": "plus", "-": "minus", "@": "at"}[line[0]] || "";
            made.append(element("span", sign, line + "\n"));
        }
    }

    block(number) {
        this.blocks = this.blocks || new Map();
        if (!this.blocks.has(number)) {
            const packed = atob(this.packed[number].textContent);
            const bytes = Uint8Array.from(packed, (c) => c.charCodeAt(0));
            const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
            this.blocks.set(number, new Response(stream).json());
        }
        return this.blocks.get(number);
    }
}
