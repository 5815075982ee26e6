"""What holds for every test: a missing real server is a named skip here, and a failure where servers are required."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests.servers import REQUIRE_VARIABLE, SERVERS, look_in_sbin, missing

# Whatever is found is run: by name, and by the shell commands that recipes print.
look_in_sbin()

pytest_plugins = ["gateway.testing.pytest_plugin", "tests.databases"]

# The same examples in every run, and no time limit on a machine that others use as well. For other examples:
# STELLWERK_HYPOTHESIS=exploring pytest tests/core
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.register_profile("exploring", deadline=None, database=None, max_examples=2000)
settings.load_profile(os.environ.get("STELLWERK_HYPOTHESIS", "repeatable"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("server"):
        for name in marker.args:
            if name not in SERVERS:
                pytest.fail(f'@pytest.mark.server("{name}"): known are {", ".join(SERVERS)}; see tests/servers.py')
            absent = missing(name)
            if absent and os.environ.get(REQUIRE_VARIABLE):
                pytest.fail(f"{absent} ({REQUIRE_VARIABLE} is set)", pytrace=False)
            elif absent:
                pytest.skip(absent)
