"""The card of a model says what its file says, and the fold report can be searched."""

from typing import Any

import httpx
from playwright.sync_api import Page, expect

import export.wording
from tests.browser.conftest import CLOTHES, Open
from tests.browser.person import chosen, words
from tests.service.servers import PATIENCE_S, Server

TIMES = "\N{MULTIPLICATION SIGN}"


def told(served: Server, model: str) -> dict[str, Any]:
    url = f"{served.url}/models/{model}"
    version: dict[str, Any] = httpx.get(url, timeout=PATIENCE_S).json()["versions"][0]
    return version


def facts(page: Page) -> dict[str, str]:
    names = page.locator("#card dt").all_inner_texts()
    told = [words(each) for each in page.locator("#card dd").all()]
    return dict(zip(names, told, strict=True))


def shown_rows(page: Page) -> list[str]:
    return page.locator("#fold-table tbody th code").all_inner_texts()


def test_the_card_says_what_the_model_is(visit: Open, served: Server) -> None:
    version = told(served, "digits")
    manifest = version["manifest"]
    page = visit("/#/model/digits").page
    chosen(page, "digits")
    said = facts(page)
    assert said["Runs on"] == version["provider"] == "CPU"
    assert said["Accuracy"] == "99.4 % of 360 samples of the split test"
    off = f"{100 * manifest['reliability']['ece']:.1f} points of expected calibration error"
    assert said["Probabilities"] == f"{off} on 360 samples of the held-out split"
    assert "Temperature" not in said
    assert said["SHA-256"] == manifest["source"]["sha256"]
    assert said["Source"] == "checkpoint, checkpoint.safetensors"
    assert said["Top-1 agreement"] == "100.0 %"
    assert said["Largest error"] == "2.1e-6 absolute, 3.0e-7 relative"
    for maker, release in manifest["created_by"].items():
        assert f"{maker} {release}" in said["Made by"]
    rows = page.locator("#card tbody tr").all_inner_texts()
    assert [row.split("\t")[:2] for row in rows] == [["input", "FP32"], ["logits", "FP32"]]
    assert f"N {TIMES} 1 {TIMES} 8 {TIMES} 8" in rows[0]


def test_a_temperature_stands_beside_what_it_changed(visit: Open) -> None:
    page = visit("/").page
    told = """async () => {
      const { quality } = await import("/playground/card/facts.js");
      const { manifest } = (await (await fetch("/models/digits")).json()).versions[0];
      const fitted = { temperature: 0.25, ece_before: 0.12, ece: 0.006 };
      const reliability = { ...manifest.reliability, ...fitted };
      return Object.fromEntries(quality({ ...manifest, reliability }));
    }"""
    facts = page.evaluate(told)
    assert facts["Probabilities"].startswith("0.6 points of expected calibration error on 360")
    assert facts["Temperature"] == "0.25; without it 12.0 points"


def test_the_labels_stand_in_the_order_of_the_output(visit: Open) -> None:
    page = visit("/#/model/clothes").page
    chosen(page, "clothes")
    assert page.locator(".labels li").all_inner_texts() == list(CLOTHES)


def test_every_batch_norm_stands_in_the_report_with_its_outcome(
    visit: Open, served: Server
) -> None:
    fold = told(served, "clothes")["manifest"]["fold"]
    page = visit("/#/model/clothes").page
    chosen(page, "clothes")
    assert shown_rows(page) == [node["name"] for node in fold["nodes"]]
    marks = page.locator("#fold-table .mark").all_inner_texts()
    assert marks == [export.wording.WORDS[node["outcome"]] for node in fold["nodes"]]
    gone = fold["bn_before"] - fold["bn_after"]
    expect(page.locator("#fold-sum")).to_have_text(f"{gone} of 9 batch norms are gone.")
    assert fold["bn_after"] > 0  # the network has some that stay


def test_a_batch_norm_that_stays_says_why(visit: Open, served: Server) -> None:
    nodes = told(served, "clothes")["manifest"]["fold"]["nodes"]
    kept = [node for node in nodes if node["outcome"] == "kept"]
    page = visit("/#/model/clothes").page
    chosen(page, "clothes")
    for node in kept:
        row = page.locator("#fold-table tbody tr", has_text=node["name"])
        expect(row).to_contain_text(node["reason"])


def test_the_report_is_filtered_by_outcome_and_by_text(visit: Open, served: Server) -> None:
    nodes = told(served, "clothes")["manifest"]["fold"]["nodes"]
    page = visit("/#/model/clothes").page
    chosen(page, "clothes")
    for outcome in ("folded_backward", "folded_forward"):
        page.uncheck(f"#fold-outcomes input[value={outcome}]")
    kept = [node["name"] for node in nodes if node["outcome"] == "kept"]
    assert shown_rows(page) == kept
    expect(page.locator("#fold-shown")).to_have_text(f"{len(kept)} of {len(nodes)} shown")
    page.fill("#fold-text", "NODE_RELU_3")  # stands in the reason of one
    assert len(shown_rows(page)) == 1
    page.fill("#fold-text", "nowhere")
    assert shown_rows(page) == []
    page.fill("#fold-text", "")
    page.check("#fold-outcomes input[value=folded_forward]")
    assert len(shown_rows(page)) > len(kept)


def test_a_model_without_a_manifest_says_so(visit: Open) -> None:
    page = visit("/#/model/pair").page
    chosen(page, "pair")
    assert facts(page)["Manifest"].startswith("none")
    expect(page.locator("#fold")).to_be_hidden()


def test_a_broken_version_says_why_it_is_not_served(visit: Open, served: Server) -> None:
    page = visit("/#/model/broken").page
    chosen(page, "broken")
    assert facts(page)["Reason"] == told(served, "broken")["reason"]


def test_the_page_calls_an_outcome_as_the_reports_do(visit: Open) -> None:
    page = visit().page
    called = page.evaluate("import('/playground/card/outcomes.js').then((it) => it.OUTCOMES)")
    assert called == export.wording.WORDS
    remaining = page.evaluate(
        """async (outcomes) => {
          const { remains } = await import("/playground/card/outcomes.js");
          return outcomes.filter((each) => remains(each) !== "gone");
        }""",
        list(called),
    )
    assert remaining == list(export.wording.REMAINING)
