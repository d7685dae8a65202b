"""The dashboard shows what the server tells: each query has data after some load."""

import json
import re
from typing import Any

import pytest

from tests.monitoring.conftest import Monitored
from tests.monitoring.prometheus import MONITORING
from tests.monitoring.test_prometheus import told, unknown

GRAFANA = MONITORING / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards/foldserve.json").read_text())
VARIABLES = {each["name"]: each for each in DASHBOARD["templating"]["list"]}

# Okabe and Ito's colours, which people who see fewer colours tell apart, and a grey.
# https://jfly.uni-koeln.de/color/
PALETTE = {
    *("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
    "#7F7F7F",
}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    return [
        (f"{panel['title']} {target['refId']}", target["expr"])
        for panel in panels()
        for target in panel["targets"]
    ]


def filled(expression: str) -> str:
    """A query with the variables as Grafana fills them in: the job, and all of the rest."""
    for name, value in {"job": "foldserve", "instance": ".*", "model": ".*"}.items():
        expression = expression.replace(f"${name}", value)
    expression = expression.replace("$__rate_interval", "1m")
    assert "$" not in expression
    return expression


@pytest.mark.parametrize(("where", "expression"), queries(), ids=[name for name, _ in queries()])
def test_every_query_of_the_dashboard_has_data_under_load(
    monitored: Monitored, where: str, expression: str
) -> None:
    found = monitored.prometheus.query(filled(expression))
    assert found, where
    assert any(value(each) == value(each) for each in found), f"{where}: nothing but NaN"


def value(series: dict[str, Any]) -> float:
    return float(series["value"][1])


def test_every_metric_of_the_dashboard_is_one_of_the_server(monitored: Monitored) -> None:
    expressions = [filled(expression) for _, expression in queries()]
    expressions += [filled(each["expr"]) for each in DASHBOARD["annotations"]["list"]]
    assert unknown(expressions, told(monitored.exposition)) == set()


def test_the_stages_and_the_workers_are_told_apart(monitored: Monitored) -> None:
    by_title = {panel["title"]: panel for panel in panels()}
    stages = [target["legendFormat"] for target in by_title["Mean by stage"]["targets"]]
    assert stages == ["decode", "queue", "infer"]
    (expression,) = [each["expr"] for each in by_title["Memory by worker"]["targets"]]
    found = monitored.prometheus.query(filled(expression))
    assert {each["metric"]["worker"] for each in found} == {"0", "1"}


def test_every_metric_is_shown_or_warned_of(monitored: Monitored) -> None:
    """Of our own: what nobody looks at is not worth its place."""
    shown = " ".join(expression for _, expression in queries())
    shown += " ".join(rule["query"] for rule in monitored.prometheus.rules("alerting").values())
    families = re.findall(r"^# TYPE (foldserve_\w+) ", monitored.exposition, re.MULTILINE)
    assert [name for name in families if name not in shown] == []


@pytest.mark.parametrize("name", ["job", "instance", "model"])
def test_every_variable_offers_what_there_is(monitored: Monitored, name: str) -> None:
    asked = VARIABLES[name]["query"]["query"]
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", filled(asked))
    assert match
    found = {each["metric"][match[2]] for each in monitored.prometheus.query(match[1])}
    expected = {
        "job": {"foldserve"},
        "instance": {f"127.0.0.1:{monitored.server.port}"},
        "model": {"brightness", "m", "log", "broken"},
    }
    assert found == expected[name]


def test_every_panel_says_what_it_shows_and_asks_the_chosen_prometheus() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len({*ids}) == len(ids)
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_no_panel_covers_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert x < 24, panel["title"]
                assert (x, y) not in taken, f"{panel['title']} and {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_colours_that_mean_something_can_be_told_apart_by_everybody() -> None:
    text = json.dumps(DASHBOARD)
    assert {*re.findall(r'"(?:fixedColor|color|iconColor)": "(#\w+|\w+)"', text)} <= PALETTE


def test_grafana_is_given_the_dashboard_and_the_prometheus_beside_it(root: Any) -> None:
    compose = (root / "docker-compose.yml").read_text()
    (folder,) = re.findall(
        r"path: (\S+)", (GRAFANA / "provisioning/dashboards/foldserve.yml").read_text()
    )
    assert f"./deploy/monitoring/grafana/dashboards:{folder}:ro" in compose
    assert "./deploy/monitoring/grafana/provisioning:/etc/grafana/provisioning:ro" in compose
    assert f"GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: {folder}/foldserve.json" in compose
    source = (GRAFANA / "provisioning/datasources/prometheus.yml").read_text()
    assert "url: http://prometheus:9090" in source
    assert re.search(r"^  prometheus:$", compose, re.MULTILINE)
    scraped = re.findall(r"scrape_interval: (\S+)", (MONITORING / "prometheus.yml").read_text())
    assert re.findall(r"timeInterval: (\S+)", source) == scraped
