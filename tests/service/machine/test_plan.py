"""How many processes and threads serve, and why."""

import pytest

from service.errors import StartError
from service.machine.cpus import Cpus
from service.machine.plan import Plan, plan, plan_alone
from service.settings import Settings


def planned(cpus: int, **choices: int | str) -> tuple[int, int, int, int]:
    made = plan(Settings(**choices), Cpus(cpus))  # type: ignore[arg-type]  # any setting
    return made.workers, made.runners, made.intra_op_threads, made.decode_threads


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [
        (1, (1, 1, 1, 1)),
        (2, (2, 1, 1, 1)),
        (3, (3, 1, 1, 1)),
        (4, (4, 1, 1, 1)),
        (6, (4, 1, 1, 1)),
        (16, (4, 1, 4, 4)),
    ],
)
def test_workers_come_first_and_their_threads_share_what_is_left(
    cpus: int, expected: tuple[int, ...]
) -> None:
    assert planned(cpus) == expected


def test_what_the_operator_chose_stays_and_the_rest_follows() -> None:
    assert planned(8, workers=1) == (1, 1, 8, 8)
    assert planned(8, workers=8) == (8, 1, 1, 1)
    assert planned(8, intra_op_threads=4) == (2, 1, 4, 4)
    assert planned(8, intra_op_threads=16) == (1, 1, 16, 8)
    assert planned(8, workers=1, runners=4) == (1, 4, 2, 8)
    assert planned(8, runners=4) == (2, 4, 1, 4)
    assert planned(8, decode_threads=3) == (4, 1, 2, 3)


def test_one_worker_holds_the_gpu_unless_more_are_chosen() -> None:
    assert planned(8, provider="cuda") == (1, 1, 8, 8)
    assert planned(8, provider="cuda", workers=2) == (2, 1, 4, 4)


@pytest.mark.parametrize(
    ("cpus", "choices", "line"),
    [
        (
            Cpus(2, "cgroup cpu.max 2.0 of 16"),
            {},
            "2 workers x 1 thread: 2 CPUs by cgroup cpu.max 2.0 of 16",
        ),
        (Cpus(1), {}, "1 worker x 1 thread: 1 CPU"),
        (
            Cpus(8, "affinity of 16"),
            {"workers": 2},
            "2 workers x 4 threads: 8 CPUs by affinity of 16, FOLDSERVE_WORKERS=2",
        ),
        (Cpus(8), {"provider": "cuda"}, "1 worker x 8 threads: 8 CPUs, one worker holds cuda"),
    ],
)
def test_the_reason_is_one_line(cpus: Cpus, choices: dict[str, int | str], line: str) -> None:
    assert plan(Settings(**choices), cpus).reason == line  # type: ignore[arg-type]  # any setting


def test_by_default_the_plan_is_for_what_this_process_may_use() -> None:
    assert isinstance(plan(Settings()), Plan)
    assert plan_alone(Settings()).workers == 1


def test_without_fork_there_is_one_worker_and_more_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("os.fork")
    assert planned(8) == (1, 1, 8, 8)
    with pytest.raises(StartError, match="FOLDSERVE_WORKERS=2: this system has no fork"):
        planned(8, workers=2)
