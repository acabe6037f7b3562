// The trees of a report: SPDX-License-Identifier: GPL-2.0-or-later
// After the first screen is painted.
const trees = [];
requestAnimationFrame(() => setTimeout(() => {
    for (const section of document.querySelectorAll(".layer:has(.tree)")) trees.push(new Tree(section));
    document.body.dataset.ready = trees.length;
}));
