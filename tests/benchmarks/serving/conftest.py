"""What the tests of the benchmark of servers need of the machine."""

import shutil

import pytest


@pytest.fixture
def _wrk() -> None:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed (apt install wrk)")
