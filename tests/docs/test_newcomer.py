"""A newcomer's walk: a clone, README from its first command on, the first guide, and a service of
what came of it.

One command after the other, in one folder, each with what those before it left there.
"""

import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.docs.commands import URL, make_serve, shell, url_in
from tests.docs.documents import agrees, command_of, console

GUIDE = "docs/guides/bring-your-own-model.md"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """What git has of the working tree: no environment, nothing built."""
    folder = tmp_path_factory.mktemp("newcomer")
    known = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - found on the PATH
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, known.stdout.split("\0")):
        if (root / name).exists():  # else it was removed, and that is not committed yet
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
    return folder


def steps(text: str) -> list[tuple[str, str]]:
    """The commands of a document in their order, each with what it prints, if that is said."""
    found = []
    for language, block in re.findall(
        r"^```(console|sh|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        if language == "console":
            found.append(console(block))
        elif language == "python":
            found.append((command_of(block), ""))
        else:
            found += [(command, "") for command in block.splitlines()]
    return found


def ask(command: str, printed: str, clone: Path, greeting: list[str]) -> str:
    """Do one step beside a service that runs, and return what it prints."""
    done = shell(command.replace(URL, url_in(greeting)), clone)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert not printed or agrees(printed, done.stdout), f"{command}\n{done.stdout}"
    return done.stdout


@pytest.mark.slow
def test_a_newcomer_goes_from_the_clone_to_a_model_of_their_own(clone: Path) -> None:
    first, *rest = steps((clone / "README.md").read_text())
    assert first[0] == "make serve"
    with make_serve(clone) as greeting:
        assert first[1].replace(URL, url_in(greeting)).splitlines() == greeting
        for command, printed in rest:
            ask(command, printed, clone, greeting)
        page = httpx.get(url_in(greeting) + "/")
        assert page.status_code == 200
        assert "<title>" in page.text
        assert greeting[1].endswith("/models/digits/predict")

    # From here on with what `make install` puts on the path, as README says.
    with make_serve(clone) as greeting:
        for command, printed in steps((clone / GUIDE).read_text()):
            ask(command, printed, clone, greeting)

    # A service that starts now has the models that were built, and answers with the newest.
    try_it = "curl --silent --data-binary @tests/data/digit_7.png"
    with make_serve(clone) as greeting:
        url = url_in(greeting)
        versions = [
            each["version"] for each in httpx.get(f"{url}/models/digits").json()["versions"]
        ]
        answer = ask(f"{try_it} {url}/models/digits/predict", "", clone, greeting)
    assert sorted(versions) == ["1", "2", "3", "4"]
    assert '"version":"4"' in answer
    assert '[{"label":"7"' in answer
