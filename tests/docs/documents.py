"""What is written for people, as text: documents, their blocks of code, tables and links."""

import re
from pathlib import Path

ELISION = "…"
_FRACTION = re.compile(r"\d\.\d{6,}(?:e-\d+)?")


def documents(root: Path) -> dict[str, str]:
    """Every document by its path; what is written by a program is in docs/reference."""
    paths = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]
    found = {path.relative_to(root).as_posix(): path.read_text() for path in paths}
    return {name: text for name, text in found.items() if not name.startswith("docs/reference/")}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def console(block: str) -> tuple[str, str]:
    """The command of a block, and what it prints."""
    command, printed = block.removeprefix("$ ").split("\n", maxsplit=1)
    return command, printed


def command_of(program: str) -> str:
    """A program of Python as a command for the shell."""
    return f"python - <<'END'\n{program}END"


def rows(text: str, *header: str) -> list[list[str]]:
    """The cells of the table with this header, without the marks for code."""
    lines = text.splitlines()
    start = lines.index(f"| {' | '.join(header)} |") + 2
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")])
    return table


def links(text: str) -> list[str]:
    """Where the links and pictures of a document lead, outside hosts left out."""
    found: list[str] = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in found if not link.startswith(("http:", "https:"))]


def anchors(text: str) -> set[str]:
    """The names that headings have in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def agrees(stated: str, printed: str) -> bool:
    """Whether an output is the document's: an elided line stands for any, a fraction for its value.

    Processors sum in different orders, so a probability differs in its last digits.
    """
    skeleton = re.escape(_FRACTION.sub("FRACTION", stated.strip("\n")))
    skeleton = skeleton.replace(f"{ELISION}\\\n", "(?:.*\n)*")
    found = re.fullmatch(skeleton, _FRACTION.sub("FRACTION", printed.strip("\n")))
    numbers = [[float(number) for number in _FRACTION.findall(text)] for text in (stated, printed)]
    near = len(numbers[0]) == len(numbers[1]) and all(
        abs(one - other) <= 1e-6 * abs(one) for one, other in zip(*numbers, strict=True)
    )
    return found is not None and (ELISION in stated or near)
