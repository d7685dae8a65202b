"""The page says what became of every batch norm, and needs nothing but itself."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from export import page
from export.folding.report import AffineOutcome
from export.page.stayed import MOST_PICTURES, OPEN_PICTURES
from tests.export.graphs import bn, model, norm
from tests.export.page.graphs import gated, kept, manifest
from tests.service.zoo import manifest_document_v1

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x00\u202e"
LOADING = {"src", "href", "srcset", "action", "data", "poster", "style"}
# 300 batch norms that all stay, with their pictures; below a megabyte a page opens at once.
LARGEST_PAGE = 1_000_000


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += data


def composed(*outcomes: AffineOutcome, after: ir.Model | None = None, **changes: Any) -> str:
    return page.compose(manifest(outcomes, **changes), gated(), after or gated())


def relu() -> ir.Model:
    found: ir.Model = ir.from_proto(
        model("y = Relu(x)", {}, inputs="float[n] x", outputs="float[n] y")
    )
    return found


def test_names_of_a_file_are_text_and_nothing_else() -> None:
    hostile = AffineOutcome(
        HOSTILE, "batch_norm", "kept", (HOSTILE,), (HOSTILE,), HOSTILE, (HOSTILE,)
    )
    told = kept("first", into=("a",), through=("a",), reason="why", blocked_by=("first",))
    graph = gated((HOSTILE, "second"))

    shown = Page(page.compose(manifest([hostile], name=HOSTILE), graph, graph))
    plain = Page(page.compose(manifest([told]), gated(), gated()))

    assert set(shown.tags) == set(plain.tags)
    assert {name for name, _ in shown.attributes} == {name for name, _ in plain.attributes}
    assert shown.words.count("<script>alert(1)</script>") >= 8
    assert "\x00" not in shown.words
    assert "\u202e" not in shown.words


def test_it_refers_to_nothing_outside_and_runs_nothing() -> None:
    html = composed(kept("first"), kept("second"))
    shown = Page(html)

    assert LOADING & {name for name, _ in shown.attributes} == set()
    assert not [name for name, _ in shown.attributes if name.startswith("on")]
    assert not {"script", "link", "iframe", "object"} & set(shown.tags)
    assert not re.search(r"url\(|@import|//[a-z]", html)


def test_its_policy_allows_its_own_style_alone() -> None:
    html = composed(kept("first"))
    (style,) = re.findall("<style>(.*)</style>", html, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()

    (policy,) = (value for _, value in Page(html).attributes if value and "default-src" in value)

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_everything_that_stayed_has_its_picture_before_and_after() -> None:
    reduced = AffineOutcome("second", "batch_norm", "reduced", reason="a shift meets padding")

    html = composed(kept("first", blocked_by=("p",)), reduced)

    assert html.count("<article") == 2
    assert html.count("<svg") == 4
    for name in ("first", "second"):
        for when in ("before", "after"):
            assert f"<title>The graph around {name}, {when} the fold</title>" in html
    assert html.count('class="box affine"') == 4
    assert html.count('class="box blocker"') == 2


def test_what_the_fold_renamed_is_found_by_what_it_puts_out() -> None:
    renamed = gated(("other", "second"))

    html = composed(kept("first"), after=renamed)

    assert html.count("<svg") == 2
    assert "<title>BatchNormalization other</title>" in html


def test_what_is_left_of_several_in_a_row_has_the_name_of_the_last() -> None:
    """As of a batch norm with a Mul and an Add behind it, which become one node."""
    arrays = {"k": np.ones((1, 4, 1, 1), np.float32), **norm(4, dtype=np.float32)}
    shapes: Any = {"inputs": "float[n,4,2,2] x", "outputs": "float[n,4,2,2] z"}
    before = model(f"{bn('x')} m = Mul(y, k) a = Add(m, k) z = Sigmoid(a)", arrays, **shapes)
    after = model("a = Mul(x, k) z = Sigmoid(a)", arrays, **shapes)

    html = page.compose(manifest([kept("y")]), ir.from_proto(before), ir.from_proto(after))

    assert html.count('<g class="box affine"><title>Mul a</title>') == 1


def test_what_took_the_rest_in_is_shown_where_nothing_else_is_left() -> None:
    reduced = AffineOutcome("first", "batch_norm", "reduced", ("y",), reason="of its shift")

    html = composed(reduced, after=relu())
    alone = composed(kept("first"), after=relu())

    assert html.count("<svg") == 2
    assert alone.count("<svg") == 1
    assert "The graph has no node of its own for it." in alone


def test_a_model_without_batch_norm_has_a_page() -> None:
    html = page.compose(manifest([]), relu(), relu())

    assert "The model has no BatchNormalization." in html
    assert "<article" not in html
    assert "What became of it" not in html


def test_three_hundred_that_stay_make_a_page_that_still_opens() -> None:
    outcomes = [kept("first", reason="why", through=tuple("abcdefgh" * 30)) for _ in range(300)]

    html = composed(*outcomes)

    assert html.count("<article") == MOST_PICTURES
    assert html.count("<details open>") == OPEN_PICTURES
    assert f"{300 - MOST_PICTURES} more stayed" in html
    assert html.count('<tr class="kept">') == 300
    assert "and 200 more, which the manifest names" in html
    assert len(html.encode()) < LARGEST_PAGE


def test_it_can_be_filtered_where_that_leaves_something_out() -> None:
    gone = AffineOutcome("second", "batch_norm", "folded_forward", ("e",))

    assert re.findall(r"(\w+) \((\d)\)</label>", composed(kept("first"), gone, gone)) == [
        *[("all", "3"), ("gone", "2"), ("reduced", "0"), ("kept", "1")]
    ]
    assert "fieldset" not in Page(composed(gone, gone)).tags


def test_it_says_what_was_measured() -> None:
    narrower = {
        "kind": "int8",
        "top1_agreement": 0.99,
        "accuracy_before": 0.98,
        "accuracy_after": 0.975,
        "samples": 360,
        "split": "test",
        "calibration": None,
        "size_before": 4_000_000,
        "size_after": 1_100_000,
    }
    described = manifest([kept("first")], precision=narrower)

    words = Page(page.compose(described, gated(), gated(), {"safe": 0.925, "all": 1.25})).words

    for said in (
        "Fold fast for cpu: safe moves, the clamps measured slower.",
        "2.5e-07",
        "2.9e-07",
        "100.00%",
        "97.50%",
    ):
        assert said in words
    for said in ("1.10 MB", "no move", "0.925", "1.250", "gated.onnx", "foldserve 0.1.0"):
        assert said in words


def test_a_reader_that_cannot_see_it_finds_its_way() -> None:
    gone = AffineOutcome("second", "batch_norm", "folded_forward", ("e",))
    shown = Page(composed(kept("first"), gone))
    attributes = dict(shown.attributes)
    headings = [tag for tag in shown.tags if re.fullmatch(r"h\d", tag)]

    assert attributes["lang"] == "en"
    assert headings[0] == "h1"
    assert all(int(below[1]) - int(above[1]) <= 1 for above, below in pairwise(headings))
    identifiers = [value for name, value in shown.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))
    assert {"main", "caption", "fieldset", "legend", "label"} <= set(shown.tags)


@pytest.mark.parametrize("outcome", ["folded_backward", "absorbed_sideways"])
def test_an_artifact_of_the_format_before_has_a_page(outcome: str) -> None:
    described = manifest_document_v1()
    described["fold"]["nodes"][0]["outcome"] = outcome

    words = Page(page.compose(described, gated(), gated())).words

    assert "1 of 1 batch norm is gone" in words
    assert "into conv" in words
