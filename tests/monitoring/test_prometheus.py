"""Prometheus takes the project's configuration, and its rules say what they should of a server."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring.conftest import Monitored
from tests.monitoring.prometheus import MONITORING, RULES, configure, prometheus, promtool, until
from tests.service import keys, zoo
from tests.service.servers import server

# A name that Prometheus gives a value by itself, for each target or each alert.
OF_PROMETHEUS = {"up", "ALERTS"}
RULE_TESTS = Path(__file__).with_name("rules_test.yml")


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def test_the_rules_are_valid_and_do_what_their_tests_say() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)
    assert "SUCCESS" in promtool("test", "rules", RULE_TESTS)


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    text = (MONITORING / "prometheus.yml").read_text()
    key = tmp_path / "key"
    key.touch()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/foldserve.yml").write_text(RULES.read_text())
    (tmp_path / "prometheus.yml").write_text(text.replace("/run/secrets/metrics_key", str(key)))
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yml")


def test_the_metrics_follow_the_conventions(monitored: Monitored) -> None:
    assert promtool("check", "metrics", stdin=monitored.exposition.encode()) == ""


def test_the_check_of_conventions_can_fail() -> None:
    with pytest.raises(AssertionError, match="should"):
        promtool(
            "check", "metrics", stdin=b"# TYPE foldserve_requests counter\nfoldserve_requests 1\n"
        )


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_is_tested_to_fire_and_not_to_fire(alert: str) -> None:
    named = rf'ALERTS{{alertname="{alert}"[^}}]*}}'
    tests = RULE_TESTS.read_text()
    assert re.search(rf"labels: {named}\n +value: 1$", tests, re.MULTILINE)
    assert re.search(rf"expr: '{named}', eval_time: \w+, exp_samples: \[\]", tests)


def test_the_server_is_read(monitored: Monitored) -> None:
    targets = monitored.prometheus.get("targets")["activeTargets"]
    (found,) = [each for each in targets if each["labels"]["job"] == "foldserve"]
    assert (found["health"], found["lastError"]) == ("up", "")


def test_every_rule_is_evaluated_and_every_alert_says_what_to_do(monitored: Monitored) -> None:
    recording = monitored.prometheus.rules("recording")
    alerting = monitored.prometheus.rules("alerting")
    assert {*alerting} == {*alerts()}
    for name, rule in (recording | alerting).items():
        assert rule["health"] == "ok", f"{name}: {rule.get('lastError')}"
    for name, rule in alerting.items():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        for words in ("summary", "description", "runbook"):
            assert len(rule["annotations"][words]) > 20, f"{name} has no {words}"


def test_what_is_recorded_has_values_under_load(monitored: Monitored) -> None:
    for name in monitored.prometheus.rules("recording"):
        assert monitored.prometheus.query(name), name


def names(expression: str) -> set[str]:
    """The metrics in an expression: every word that is no function, label or operator."""
    bare = re.sub(r'\{[^}]*\}|\[[^\]]*\]|"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|on|without|ignoring|group_left) *\([^)]*\)", "", bare)
    found = re.findall(r"[a-zA-Z_:][\w:]*(?! *\()\b", bare)
    return {name for name in found if name not in {"and", "or", "unless", "e"}}


def told(exposition: str) -> set[str]:
    """The names of the series that a server tells."""
    return {re.split(r"[{ ]", line)[0] for line in exposition.splitlines() if line[:1] != "#"}


def unknown(expressions: Iterable[str], known: set[str]) -> set[str]:
    return {name for each in expressions for name in names(each)} - known - OF_PROMETHEUS


def test_every_metric_of_a_rule_is_one_of_the_server(monitored: Monitored) -> None:
    rules: dict[str, Any] = monitored.prometheus.rules("recording")
    known = told(monitored.exposition) | {*rules}
    rules |= monitored.prometheus.rules("alerting")
    assert unknown([rule["query"] for rule in rules.values()], known) == set()


def test_the_search_for_metrics_finds_them() -> None:
    expression = (
        'sum by (job) (rate(foldserve_a_total{code="x"}[5m])) / on (job) job:b:c > 0.1 and up == 1'
    )
    assert names(expression) == {"foldserve_a_total", "job:b:c", "up"}
    assert unknown([expression], {"job:b:c"}) == {"foldserve_a_total"}


def test_a_model_that_is_broken_is_about_to_be_told(monitored: Monitored) -> None:
    (found,) = monitored.prometheus.rules("alerting")["FoldserveModelNotReady"]["alerts"]
    assert found["state"] == "pending", "for five minutes"
    assert found["labels"]["model"] == "broken"
    assert "broken/1 is not served" in found["annotations"]["summary"]
    assert "models/broken" in found["annotations"]["runbook"]


def test_what_fires_at_once_does_so(monitored: Monitored) -> None:
    """A third of the load's answers is not finite."""
    rules = monitored.prometheus.rules("alerting")
    firing = {name for name, rule in rules.items() if rule["state"] == "firing"}
    assert firing == {"FoldserveErrorsBurnFast", "FoldserveOutputNotFinite"}
    (burning,) = rules["FoldserveErrorsBurnFast"]["alerts"]
    share = re.match(r"(\d+)\.?\d*% of", burning["annotations"]["summary"])
    assert share, burning
    assert 20 < int(share[1]) < 40


@pytest.mark.parametrize("scope", ["metrics", "predict"])
def test_where_keys_are_needed_one_for_metrics_reads_and_no_other(
    tmp_path: Path, scope: str
) -> None:
    models = tmp_path / "models"
    zoo.put(models, "m", 1, zoo.doubler())
    key = tmp_path / "metrics.key"
    key.write_text(keys.KEYS[scope] + "\n")
    with server(models, API_KEYS=keys.put(tmp_path)) as running:
        file = configure(tmp_path / "monitoring", key, f"127.0.0.1:{running.port}")
        with prometheus(file) as reading:
            until(lambda: reading.query('up{job="foldserve"}'))
            (up,) = reading.query('up{job="foldserve"}')
            assert up["value"][1] == ("1" if scope == "metrics" else "0")
            running.stop()
            until(lambda: reading.query('up{job="foldserve"} == 0'))
            until(lambda: reading.query('ALERTS{alertname="FoldserveDown"}'))
