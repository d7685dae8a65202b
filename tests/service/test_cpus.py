"""How many threads may run at once."""

import os
from pathlib import Path

import pytest

from service.cpus import available_cpus, cpu_quota

ALLOWED = len(os.sched_getaffinity(0))


def version_1(root: Path, quota: str, period: str = "100000") -> Path:
    (root / "cpu").mkdir()
    (root / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (root / "cpu" / "cpu.cfs_period_us").write_text(period + "\n")
    return root


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("150000 100000\n", 1.5),
        ("max 100000\n", None),
        ("50000 100000", 0.5),
        ("", None),
        ("1 0", None),
    ],
)
def test_cgroup_version_2_states_quota_and_period(
    tmp_path: Path, text: str, quota: float | None
) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpu_quota(tmp_path) == quota


@pytest.mark.parametrize(("text", "quota"), [("200000", 2.0), ("-1", None), ("x", None)])
def test_cgroup_version_1_states_them_in_two_files(
    tmp_path: Path, text: str, quota: float | None
) -> None:
    assert cpu_quota(version_1(tmp_path, text)) == quota


@pytest.mark.parametrize(
    ("cgroup", "quota"),
    [
        ("0::/system.slice/foldserve.service\n", 1.0),
        ("12:cpu:/other\n0::/system.slice\n", 2.0),
        ("0::/\n", None),
        ("0::/seen/from/outside\n", None),
        ("12:cpu:/other\n", None),
    ],
)
def test_the_smallest_quota_on_the_way_to_the_processs_own_cgroup_counts(
    tmp_path: Path, cgroup: str, quota: float | None
) -> None:
    below = tmp_path / "system.slice" / "foldserve.service"
    below.mkdir(parents=True)
    (below.parent / "cpu.max").write_text("200000 100000")
    (below / "cpu.max").write_text("100000 100000")
    membership = tmp_path / "membership"
    membership.write_text(cgroup)
    assert cpu_quota(tmp_path, membership) == quota


def test_without_a_cgroup_there_is_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert available_cpus(tmp_path) == ALLOWED


def test_a_fraction_is_rounded_down_but_never_to_none(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("199999 100000")
    assert available_cpus(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("1000 100000")
    assert available_cpus(tmp_path) == 1


def test_a_quota_beyond_the_affinity_grants_no_more(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("100000000 100000")
    assert available_cpus(tmp_path) == ALLOWED


def test_a_file_that_is_not_text_is_no_quota(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_bytes(b"\xff\xff \xff")
    assert cpu_quota(tmp_path) is None
