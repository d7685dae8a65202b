"""How many threads may run at once, and what says so."""

import os
from pathlib import Path

import pytest

from service.machine.cpus import Cpus, Quota, cpu_quota, usable_cpus

ALLOWED = len(os.sched_getaffinity(0))


def version_1(folder: Path, quota: str, period: str = "100000") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(quota + "\n")
    (folder / "cpu.cfs_period_us").write_text(period + "\n")


def granted(root: Path, membership: str = "") -> float | None:
    path = root / "membership"
    path.write_text(membership)
    quota = cpu_quota(root, path)
    return None if quota is None else quota.cpus


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("150000 100000\n", 1.5),
        ("max 100000\n", None),
        ("50000 100000", 0.5),
        ("", None),
        ("1 0", None),
        ("1", None),
    ],
)
def test_cgroup_version_2_states_quota_and_period(
    tmp_path: Path, text: str, quota: float | None
) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert granted(tmp_path) == quota


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
@pytest.mark.parametrize(("text", "quota"), [("200000", 2.0), ("-1", None), ("x", None)])
def test_cgroup_version_1_states_them_in_two_files(
    tmp_path: Path, mount: str, text: str, quota: float | None
) -> None:
    version_1(tmp_path / mount, text)
    assert granted(tmp_path) == quota


@pytest.mark.parametrize(
    ("cgroup", "quota"),
    [
        ("0::/system.slice/foldserve.service\n", 1.0),
        ("12:cpu:/other\n0::/system.slice\n", 2.0),
        ("0::/\n", None),
        ("0::/seen/from/outside\n", None),
        ("12:cpu:/other\n", None),
        ("nonsense\n", None),
    ],
)
def test_the_smallest_quota_on_the_way_to_the_processs_own_cgroup_counts(
    tmp_path: Path, cgroup: str, quota: float | None
) -> None:
    below = tmp_path / "system.slice" / "foldserve.service"
    below.mkdir(parents=True)
    (below.parent / "cpu.max").write_text("200000 100000")
    (below / "cpu.max").write_text("100000 100000")
    assert granted(tmp_path, cgroup) == quota


@pytest.mark.parametrize(
    ("cgroup", "quota"),
    [
        ("4:cpu,cpuacct:/docker/abc\n", 1.0),
        ("4:cpu,cpuacct:/docker\n3:cpuset:/docker/abc\n", 2.0),
        ("4:cpu,cpuacct:/seen/from/outside\n", 3.0),
        ("3:cpuset:/docker/abc\n", 3.0),
    ],
)
def test_version_1_has_a_way_to_the_own_cgroup_too(
    tmp_path: Path, cgroup: str, quota: float
) -> None:
    mount = tmp_path / "cpu,cpuacct"
    version_1(mount, "300000")
    version_1(mount / "docker", "200000")
    version_1(mount / "docker" / "abc", "100000")
    assert granted(tmp_path, cgroup) == quota


def test_without_a_cgroup_there_is_no_quota(tmp_path: Path) -> None:
    assert granted(tmp_path) is None
    assert usable_cpus(tmp_path).count == ALLOWED


def test_a_fraction_is_rounded_down_but_never_to_none(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("199999 100000")
    assert usable_cpus(tmp_path, tmp_path / "none").count == 1
    (tmp_path / "cpu.max").write_text("1000 100000")
    assert usable_cpus(tmp_path, tmp_path / "none").count == 1


def test_a_quota_beyond_the_affinity_grants_no_more(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("100000000 100000")
    assert usable_cpus(tmp_path, tmp_path / "none").count == ALLOWED


def test_what_limits_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(8)))
    version_1(tmp_path / "cpu", "400000")
    none = tmp_path / "none"
    assert cpu_quota(tmp_path, none) == Quota(4.0, "cpu.cfs_quota_us")
    assert usable_cpus(tmp_path, none) == Cpus(4, "cgroup cpu.cfs_quota_us 4.0 of 16")
    (tmp_path / "cpu.max").write_text("250000 100000")
    assert usable_cpus(tmp_path, none) == Cpus(2, "cgroup cpu.max 2.5 of 16")
    assert usable_cpus(none, none) == Cpus(8, "affinity of 16")
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert usable_cpus(none, none) == Cpus(8)


def test_a_file_that_is_not_text_is_no_quota(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_bytes(b"\xff\xff \xff")
    assert granted(tmp_path) is None
