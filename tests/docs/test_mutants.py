"""tools/mutants: the faults that it makes, and the tests that it takes for a line.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY

sys.path.insert(0, str(ROOT_DIRECTORY / "tools"))
from mutants import sample
from mutation import cover
from mutation.cover import Coverage, Record
from mutation.mutate import mutations

pytestmark = pytest.mark.quick

SOURCE = """\
#define NUMBER (1 + 2)
/* a + b */
static int one(const struct thing *thing, size_t count) {
    int error = check(thing, "a == b");
    if (!error && count > 1)
        error = -EPERM;
    thing->count += 2;
    (void)forget(thing);
    return *thing->at < 0 ? -1 : take((int)count);
}
"""
#: Line and change of each fault of it.
FAULTS = {
    (4, 'check(thing, "a == b") → 0'),
    (5, "(!error && count > 1) → (0 && (!error && count > 1))"),
    (5, "(!error && count > 1) → (1 || (!error && count > 1))"),
    (5, "! → nothing"), (5, "!error → 1"), (5, "&& → ||"), (5, "count > 1 → 1"), (5, "> → >="), (5, "1 → (1 + 1)"),
    (6, "error = -EPERM → nothing"), (6, "EPERM → EDOM"),
    (7, "thing->count += 2 → nothing"), (7, "+= → -="), (7, "2 → (2 + 1)"),
    (8, "(void)forget(thing) → nothing"),
    (9, "< → <="), (9, "0 → (0 + 1)"), (9, "1 → (1 + 1)"), (9, "take((int)count) → 0"),
}


def test_faults(tmp_path: Path) -> None:
    """Of each kind, and none in comments, strings, types and what the preprocessor reads."""
    path = tmp_path / "one.c"
    path.write_text(SOURCE)
    made = mutations(path)
    assert {(m.line, m.change) for m in made} == FAULTS
    applied = {m.change: m.applied(SOURCE).splitlines()[m.line - 1].strip() for m in made}
    assert applied["count > 1 → 1"] == "if (!error && 1)"
    assert applied["EPERM → EDOM"] == "error = -EDOM;"
    assert applied["(void)forget(thing) → nothing"] == ";"


def test_sample_is_of_all_files(tmp_path: Path) -> None:
    """So many, of each file in its turn, others by another seed; all when there are not more."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.c").write_text(SOURCE)
    (tmp_path / "three.c").write_text("int three(void) {\n    return 1;\n}\n")
    made = [m for path in sorted(tmp_path.iterdir()) for m in mutations(path)]
    taken = sample(made, 5, 0)
    assert sorted(m.path.stem for m in taken) == ["one", "one", "three", "two", "two"]
    assert sample(made, 5, 0) == taken != sample(made, 5, 1)
    assert set(sample(made, 1000, 0)) == set(made)


def test_tests_of_a_line() -> None:
    """Those that run the block that it stands in, the quickest first."""
    records = [Record("slow", 2.0, {"a.c": [10, 20]}), Record("quick", 1.0, {"a.c": [20]}),
               Record("other", 1.0, {"b.c": [20]})]
    coverage = Coverage({}, {"a.c": [10, 20, 30]}, {"tests/test_a.py": ("", records)})
    found = {line: [record.test for record in coverage.tests("a.c", line)] for line in (9, 10, 19, 20, 29, 30)}
    assert found == {9: [], 10: ["slow"], 19: ["slow"], 20: ["quick", "slow"], 29: ["quick", "slow"], 30: []}


def test_lines_follow_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was gathered holds for the lines where they are now; changed ones are nobody's."""
    old, new = "one\ntwo\nthree\nfour\n", "zero\none\nTWO\nthree\nfour\n"
    monkeypatch.setattr(cover, "sources", lambda: {"a.c": new})
    coverage = Coverage({"a.c": old}, {"a.c": [1, 2, 3]}, {"t": ("", [Record("t", 1.0, {"a.c": [2, 3]})])})
    coverage.follow()
    assert (coverage.blocks["a.c"], coverage.gathered["t"][1][0].lines["a.c"]) == ([2, 4], [4])
