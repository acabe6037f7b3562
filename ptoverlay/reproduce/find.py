"""Which of the variations each differing file depends on.

    first run ── the same again ── all variations at once ── halves of them, as long as something differs

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ptoverlay.reproduce.trial import Trial, Trials
from ptoverlay.reproduce.variations import Variation

#: What a file depends on that is another when nothing was varied.
CHANCE = "chance"
#: … and that differs only when several things do.
TOGETHER = "several together"


@dataclass(slots=True)
class Differing:
    """A file that is not always the same.  other: a run in which it is another than in the first."""

    path: str
    causes: list[str]
    other: Trial


@dataclass(slots=True)
class Comparison:
    """first: the run that the others are compared with; varied: names of what was; lacking: name → why it was not;
    statuses: of runs that ended otherwise than the first, by what was varied."""

    first: Trial
    varied: list[str]
    lacking: dict[str, str]
    findings: list[Differing] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    runs: int = 0

    @property
    def same(self) -> bool:
        return not self.findings and not self.statuses


class Search:
    """tell: gets a line about each run."""

    def __init__(self, trials: Trials, variations: Sequence[Variation], tell: Callable[[str], None]) -> None:
        self._trials = trials
        self._tell = tell
        self._lacking = {one.name: why for one in variations if (why := one.lacks())}
        self._variations = [one for one in variations if one.name not in self._lacking]
        self._found: dict[str, Differing] = {}

    def run(self) -> Comparison:
        self._tell("the first run")
        first = self._trials.run([])
        outcome = Comparison(first, [one.name for one in self._variations], self._lacking)
        self._tell("the same again")
        again = self._trials.run([])
        for path in first.differing(again):
            self._found[path] = Differing(path, [CHANCE], again)
        if again.status != first.status:
            outcome.statuses[CHANCE] = again.status
        if self._variations:
            self._halve(outcome, self._variations)
        outcome.findings = [self._found[path] for path in sorted(self._found)]
        outcome.runs = self._trials.count
        return outcome

    def _halve(self, outcome: Comparison, variations: Sequence[Variation]) -> set[str]:
        """Paths that differ under these variations, each with its causes noted."""
        names = ", ".join(one.name for one in variations)
        self._tell(f"with another {names}")
        trial = self._trials.run(variations)
        by_chance = {path for path, finding in self._found.items() if finding.causes == [CHANCE]}
        differing = set(outcome.first.differing(trial)) - by_chance
        other_status = trial.status != outcome.first.status and CHANCE not in outcome.statuses
        if len(variations) == 1:
            for path in differing:
                self._note(path, variations[0].name, trial)
            if other_status:
                outcome.statuses[variations[0].name] = trial.status
            return differing
        if not differing and not other_status:
            return differing
        known = len(outcome.statuses)
        half = len(variations) // 2
        explained = self._halve(outcome, variations[:half]) | self._halve(outcome, variations[half:])
        for path in differing - explained:
            self._note(path, TOGETHER, trial)
        if other_status and len(outcome.statuses) == known:
            outcome.statuses[TOGETHER] = trial.status
        return differing

    def _note(self, path: str, cause: str, trial: Trial) -> None:
        finding = self._found.setdefault(path, Differing(path, [], trial))
        if cause not in finding.causes:
            finding.causes.append(cause)
