"""The reference is what the code says, and the guides name what there is."""

import re
from pathlib import Path

import export.wording
from docs.generate import pages
from service.rpc.messages import SERVICE, protocol
from service.settings import Settings
from tests.docs.documents import documents, rows
from training import datasets, models


def test_the_reference_is_what_the_code_says(root: Path) -> None:
    folder = root / "docs" / "reference"
    written = {path.name: path.read_text() for path in folder.glob("*.md")}
    assert written == pages(), "make docs"


def test_every_setting_and_every_endpoint_stands_in_the_reference() -> None:
    """Of the generator: a table that lost its rows would be current, too."""
    written = pages()
    assert written["settings.md"].count("\n| `FOLDSERVE_") == len(Settings.model_fields)
    assert "| `POST /v2/models/{name}/infer` |" in written["endpoints.md"]
    assert "| 429 | `queue_full` |" in written["errors.md"]
    assert "| `foldserve_queue_seconds` | histogram | `model`, `version` |" in written["metrics.md"]
    assert "### `foldserve-export build`" in written["command-line.md"]
    assert "| `weight_decay` | `0.0005` |" in written["training.md"]


def test_every_method_of_grpc_is_named(root: Path) -> None:
    guide = documents(root)["docs/guides/call.md"]
    methods = protocol().pool.FindServiceByName(SERVICE).methods
    assert [each.name for each in methods if f"`{each.name}`" not in guide] == []


def test_every_outcome_of_a_fold_is_documented_in_the_words_of_the_report(root: Path) -> None:
    guide = documents(root)["docs/guides/bring-your-own-model.md"]
    documented = [row[0] for row in rows(guide, "in the report", "what became of a batch norm")]
    assert documented == list(export.wording.WORDS.values())


def test_every_network_and_every_data_set_is_documented(root: Path) -> None:
    guide = documents(root)["docs/guides/train.md"]
    networks = [row[0] for row in rows(guide, "network", "what it is")]
    assert sorted(", ".join(networks).split(", ")) == sorted(models.NAMES)
    sets = [row[0] for row in rows(guide, "data set", "where it comes from")]
    assert sorted(sets) == sorted(datasets.NAMES)


def test_every_setting_that_a_document_names_exists(root: Path) -> None:
    known = {f"FOLDSERVE_{name.upper()}" for name in Settings.model_fields}
    # Of Compose, in the shell that starts it.
    known |= {"FOLDSERVE_PUBLISH", "FOLDSERVE_PUBLISH_GRPC", "FOLDSERVE_METRICS_KEY_FILE"}
    named = {
        (document, name)
        for document, text in documents(root).items()
        for name in re.findall(r"\bFOLDSERVE_[A-Z_]*[A-Z]\b", text)
    }
    assert {each for each in named if each[1] not in known} == set()
