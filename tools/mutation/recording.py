"""A pytest plugin: what each test runs of the core (cover.c), and the processor time that it takes.

The file of places is in PTOVERLAY_COVER_PLACES; a line of JSON for each test goes to PTOVERLAY_COVER_RECORD.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import mmap
import os
import re
from collections.abc import Iterator

import pytest


def _processor_time() -> float:
    """Of this process and of its children: the same whatever else the machine does."""
    return sum(os.times()[:4])


class Recording:
    """Cleared before each test, read after it."""

    def __init__(self, places: str, record: str) -> None:
        fd = os.open(places, os.O_RDWR | os.O_CLOEXEC)
        self.map = mmap.mmap(fd, 0)
        os.close(fd)
        self.record = record
        self.passed = True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.map[:] = bytes(len(self.map))
        self.passed = True
        start = _processor_time()
        result = yield
        places = [m.start() for m in re.finditer(rb"\x01", self.map)]
        entry = {"test": item.nodeid, "seconds": _processor_time() - start, "passed": self.passed, "places": places}
        with open(self.record, "a") as out:
            out.write(json.dumps(entry) + "\n")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed":
            self.passed = False


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recording(os.environ["PTOVERLAY_COVER_PLACES"], os.environ["PTOVERLAY_COVER_RECORD"]))
