"""Fixtures of the system tests, and a last line "N passed, N failed" for tools/run-tests.py (which passes -rs, so
that what was skipped is listed with its reason)."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kitten import Mini  # noqa: E402

counts = {"passed": 0, "failed": 0, "skipped": 0}


@pytest.fixture(scope="module")
def mini():
    """One server for all tests of a file; they may store, but not reconfigure or damage."""
    with Mini() as m:
        yield m


@pytest.fixture
def fresh():
    """A server of the test's own."""
    with Mini() as m:
        yield m


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        counts[report.outcome] += 1


def pytest_unconfigure(config):
    if any(counts.values()):
        print(f"\n{counts['passed']} passed, {counts['failed']} failed")
