"""What processes hold."""

import os
import sys
from pathlib import Path

import pytest

from service.tuning.memory import proportional_mb

ROLLUP = "5600-7fff ---p 0 00:00 0 [rollup]\nRss:  9000 kB\nPss:  {} kB\nPss_Anon: 7 kB\n"


def test_pages_that_are_shared_count_once_in_all(tmp_path: Path) -> None:
    for pid, size in ((11, 1000), (12, 500)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "smaps_rollup").write_text(ROLLUP.format(size))
    assert proportional_mb([11, 12], tmp_path) == pytest.approx(1500 * 1024 / 1e6)
    assert proportional_mb([11, 99], tmp_path) == pytest.approx(1000 * 1024 / 1e6)


def test_where_the_system_says_nothing_it_is_unknown(tmp_path: Path) -> None:
    assert proportional_mb([1], tmp_path) is None
    assert proportional_mb([], tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="hardware: only Linux counts so")
def test_a_process_of_python_holds_some_megabytes() -> None:
    assert 5 < (proportional_mb([os.getpid()]) or 0) < 2000
