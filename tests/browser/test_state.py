"""The server's state moves under load, and what stands there is what was asked."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect
from prometheus_client.parser import text_string_to_metric_families

from tests.browser.chromium import PATIENCE_MS
from tests.browser.conftest import Open
from tests.service.servers import PATIENCE_S, Server

REQUESTS = 200


@pytest.fixture
def loaded(served: Server, seven: Path) -> Iterator[threading.Thread]:
    """A thread that asks so often; every fiftieth request is a wrong one beside them."""
    picture = seven.read_bytes()

    def ask() -> None:
        with httpx.Client(base_url=served.url, timeout=PATIENCE_S) as client:
            for number in range(REQUESTS):
                client.post("/models/digits/predict", content=picture).raise_for_status()
                if number % 50 == 0:
                    client.post("/models/digits/predict", content=b"no picture")

    thread = threading.Thread(target=ask)
    yield thread
    thread.join(PATIENCE_S)


def figure(page: Page, name: str) -> str:
    return page.locator("#figures > div", has_text=name).locator("dd").inner_text()


def row(page: Page, name: str) -> list[str]:
    return page.locator("#tables tr", has_text=name).first.inner_text().split("\t")


def test_the_charts_move_under_load(visit: Open, loaded: threading.Thread) -> None:
    page = visit("/#/server").page
    cell = page.locator("#tables tr", has_text="digits 1").first.locator("td").nth(1)
    expect(cell).to_have_text("0", timeout=PATIENCE_MS)
    loaded.start()
    answered = page.locator("[data-chart=throughput] [data-series=answered] b")
    expect(answered).not_to_have_text("0.00", timeout=PATIENCE_MS)
    expect(answered).not_to_have_text("–", timeout=PATIENCE_MS)  # noqa: RUF001 -- as the page has it
    p50 = page.locator("[data-chart=latency] [data-series=p50] b")
    expect(p50).to_contain_text("ms", timeout=PATIENCE_MS)
    line = page.locator("[data-chart=throughput] svg[role=img] path.series-1")
    expect(line).to_have_attribute("d", re.compile("^M.*L"), timeout=PATIENCE_MS)
    expect(page.locator("[data-chart=batches] rect.bar").first).to_be_visible()
    loaded.join(PATIENCE_S)
    # What was answered since the page was opened; the wrong ones are none of it.
    expect(cell).to_have_text(str(REQUESTS), timeout=PATIENCE_MS)
    assert figure(page, "Rows of a run") == "1.00"


def test_models_and_workers_stand_with_their_states(visit: Open, served: Server) -> None:
    page = visit("/#/server").page
    page.wait_for_selector("#tables tr")
    models = httpx.get(f"{served.url}/models", timeout=PATIENCE_S).json()["models"]
    versions = [f"{each['name']} {one['version']}" for each in models for one in each["versions"]]
    assert page.locator("#tables section").first.locator("tbody th").all_inner_texts() == versions
    assert "failed" in row(page, "broken 1")[1]
    assert "the file is no ONNX model" in row(page, "broken 1")[1]
    assert row(page, "clothes 1")[1].strip() == "ready"
    worker = page.locator("#tables section").nth(1).locator("tbody tr")
    expect(worker).to_have_count(1)
    expect(worker).to_contain_text("MB")
    page.click("#tables a >> text=clothes 1")
    expect(page.locator("#title-model")).to_be_focused()
    expect(page.locator("#model")).to_have_value("clothes")


def test_a_pause_stops_the_asking(visit: Open) -> None:
    page = visit("/#/server").page
    page.wait_for_selector("#tables tr")
    page.click("#pause")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_request("**/v2/health/ready"):  # the pulse goes on; more than two looks long
        pass
    assert not any(url.endswith("/metrics") for url in asked)
    with page.expect_request("**/metrics"):
        page.click("#pause")


def test_the_page_reads_the_metrics_as_prometheus_own_parser_does(
    visit: Open, served: Server, seven: Path
) -> None:
    httpx.post(
        f"{served.url}/models/digits/predict", content=seven.read_bytes(), timeout=PATIENCE_S
    )
    text = httpx.get(f"{served.url}/metrics", timeout=PATIENCE_S).text
    text += (
        'odd{a="quote \\" and \\\\ and \\n line",b="{}, x=1"} 1.5e-3\nmost NaN\nfewest -Inf 17\n'
    )
    expected = [
        (sample.name, sample.labels, str(sample.value))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    page = visit().page
    found = page.evaluate(
        """async (text) => {
          const { readMetrics } = await import("/playground/server/metrics.js");
          return [...readMetrics(text)].flatMap(([name, samples]) =>
            samples.map(({ labels, value }) => [name, labels, String(value)]));
        }""",
        text,
    )
    as_python = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}

    def key(sample: tuple[str, dict[str, str], str]) -> tuple[str, list[tuple[str, str]], float]:
        name, labels, value = sample
        return name, sorted(labels.items()), float(as_python.get(value, value))

    assert len(found) > 100
    assert sorted(map(str, map(key, found))) == sorted(map(str, map(key, expected)))
