from typing import Any

from benchmarks.faults import summary, table
from benchmarks.faults.rows import Row, append, read


def row(scenario: str, number: int = 1, server: str = "ours", **counts: Any) -> Row:
    return Row(number, server, "1.0", scenario, counts=counts)


def met(**words: int) -> dict[str, Any]:
    return {"words": words, "afterwards": 8, "probes": 8, "run": 0.5}


def overloaded(**more: Any) -> dict[str, Any]:
    return {
        "requests": 100,
        "statuses": {"200": 25, "429": 75},
        "retry_after": ["429"],
        "late": 1,
        "hung": 0,
        "lost": 0,
        "goodput": 45.0,
        "peak": 50.0,
        "p99_s": 1.5,
        "health": {"200": 20},
        "health_lost": 0,
        "health_p50_ms": 2.0,
        "health_p99_ms": 20.0,
        "memory_before_mb": 100.0,
        "memory_most_mb": 110.0,
    } | more


def test_counts_of_rounds_are_added():
    assert summary.unanswered([met(right=10), met(right=8, hung=2)]) == "2 of 20 (2 hung)"
    assert summary.unanswered([met(right=10)]) == "0 of 10"


def test_a_server_that_answers_no_more_is_said_to():
    broken = met(right=1) | {"afterwards": 0}
    assert summary.unanswered([met(right=1), broken]) == "0 of 2; then 8 of 16 are answered"


def test_other_numbers_are_medians():
    assert summary.run_in_vain([{"run": share} for share in (-0.1, 0.25, 9.0)]) == "25%"
    assert summary.run_in_vain([{"run": -0.1}]) == "0%"
    rounds = [overloaded(goodput=rate) for rate in (10.0, 45.0, 46.0)]
    assert summary.goodput(rounds) == "90%"
    assert summary.slowest([overloaded(), overloaded(p99_s=None)]) == "1.5"
    assert summary.slowest([overloaded(p99_s=None)]) == "-"
    assert summary.memory(rounds) == "100 → 110"


def test_what_was_refused_is_told_by_its_status():
    assert summary.refused([overloaded()]) == "75% 429 with Retry-After"
    other = overloaded(statuses={"200": 50, "503": 50}, retry_after=[])
    assert summary.refused([overloaded(), other]) == "38% 429 with Retry-After, 25% 503"
    assert summary.refused([overloaded(statuses={"200": 100})]) == "none"
    assert summary.late([overloaded(), overloaded(hung=9)]) == "1%, 4%, 0%"


def test_health_that_fails_is_said_to():
    assert summary.health([overloaded()]) == "2, 20"
    failing = overloaded(health={"200": 1, "503": 2}, health_lost=3, health_p50_ms=None)
    assert summary.health([failing]) == "-, 20; 5 failed"


def test_a_killed_worker_s_losses_and_return():
    good = {"statuses": {"200": 9}, "lost": 0, "hung": 0, "back_s": 1.0, "ended": False}
    bad = {"statuses": {"200": 9, "500": 2}, "lost": 3, "hung": 1, "back_s": None, "ended": False}
    assert summary.not_answered([good]) == "0"
    assert summary.not_answered([good, bad]) == "3 lost, 1 hung, 2 500"
    assert summary.full_again([good, good | {"back_s": 2.0}]) == "1.5"
    assert summary.full_again([good, bad]) == "1.0, not in 1 of 2"
    assert summary.full_again([bad]) == "never"
    assert summary.full_again([good, bad | {"ended": True}]) == "the server ended in 1 of 2"


def test_rows_survive_a_file_and_make_tables(tmp_path):
    file = tmp_path / "rows.jsonl"
    assert read(file) == []
    rows = [row("cancelled", **met(right=10)), row("overload", **overloaded())]
    append(file, rows)
    append(file, [Row(1, "mosec", "2.0", "cancelled", failure="it ended")])
    assert read(file)[:2] == rows
    faults, overload = table.text(read(file)).split("\n\n")
    assert "| ours | 1.0 | 0 of 10 | 50% | - |" in faults
    assert "| mosec | 2.0 | it ended | it ended | - |" in faults
    assert "poison" not in faults  # which was not played
    assert "| ours | 1.0 | 50 | 90% | 1.5 |" in overload
    assert "| mosec | 2.0 | - |" in overload
