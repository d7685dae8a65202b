"""The comparison of documents with what is printed can fail, and links lead somewhere."""

import re
from pathlib import Path

from export.folding.operators import OPERATORS
from tests.docs.documents import agrees, anchors, documents, links, rows


def test_the_comparison_of_outputs_can_fail() -> None:
    assert agrees("one\n…\nthree\n", "one\ntwo\nthree")
    assert not agrees("one\n…\nthree\n", "one\ntwo\nfour")
    assert not agrees("one\n", "one\ntwo")
    assert agrees('{"probability":0.899503600}', '{"probability":0.89950361}')
    assert not agrees('{"probability":0.899503600}', '{"probability":0.89960360}')


def test_every_link_leads_to_a_file_and_to_a_heading_in_it(root: Path) -> None:
    dead = []
    for name, text in documents(root).items():
        for link in links(text):
            path, _, anchor = link.partition("#")
            target = (root / name).parent / path if path else root / name
            if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
                dead.append(f"{name}: {link}")
    assert dead == []


def test_how_folding_works_tells_of_every_operator_that_the_engine_knows(root: Path) -> None:
    text = documents(root)["docs/how-folding-works.md"]
    cells = [operators for operators, _ in rows(text, "operators", "what they do with a gauge")]
    told = [name for cell in cells[:-1] for name in re.findall(r"[A-Z]\w+", cell)]
    assert sorted(told) == sorted(OPERATORS)
    assert not set(re.findall(r"[A-Z]\w+", cells[-1])) & set(OPERATORS)  # those that refuse


def test_the_search_for_dead_links_finds_them() -> None:
    text = "[a](b.md) [c](#d) ![e](f.png) [g](https://example.org)\n## The D, of course\n"
    assert links(text) == ["b.md", "#d", "f.png"]
    assert anchors(text) == {"the-d-of-course"}


def test_every_document_can_be_reached_from_readme(root: Path) -> None:
    texts = documents(root)
    reached, left = set[str](), ["README.md"]
    while left:
        name = left.pop()
        if name in reached or name not in texts:
            continue
        reached.add(name)
        folder = (root / name).parent
        for link in links(texts[name]):
            target = (folder / link.partition("#")[0]).resolve()
            if target.is_relative_to(root):
                left.append(target.relative_to(root).as_posix())
    assert reached == texts.keys()


def test_readme_stays_one_page(root: Path) -> None:
    """A hundred and fifty lines, tables included, are what a person scrolls through."""
    assert len((root / "README.md").read_text().splitlines()) <= 150


def test_a_table_is_found_by_its_header() -> None:
    assert rows("| a | b |\n| --- | --- |\n| `1` | 2 |\n\nrest", "a", "b") == [["1", "2"]]
