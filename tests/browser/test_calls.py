"""The calls that the page gives away do what the page did, when they are run as they are copied."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visit
from tests.browser.conftest import Open
from tests.browser.person import bars, choose, chosen, draw
from tests.service.keys import KEYS, put
from tests.service.pictures import encoded, noise
from tests.service.servers import PATIENCE_S, Server, server

LANGUAGES = ("curl", "python", "javascript")
MAY_COPY = ["clipboard-read", "clipboard-write"]


def copied(page: Page, language: str) -> str:
    """The call, as it comes out of the clipboard."""
    page.check(f"input[value={language}]")
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")
    call: str = page.evaluate("navigator.clipboard.readText()")
    return call


def run(language: str, call: str, folder: Path, **environment: str) -> Any:
    """Run a call in a folder, and return the answer that it prints."""
    if language == "javascript":
        node = shutil.which("node")
        if node is None:
            pytest.skip("no node: apt install nodejs")
        (folder / "call.mjs").write_text(call)
        command = [node, "call.mjs"]
    elif language == "python":
        command = [sys.executable, "-c", call]
    else:
        command = ["sh", "-c", call]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (ast.literal_eval if language == "python" else json.loads)(done.stdout)


def saved(page: Page, folder: Path) -> Path:
    """Save what was sent, as the page offers it."""
    with page.expect_download() as loading:
        page.click("#call-words a")
    path = folder / loading.value.suggested_filename
    loading.value.save_as(path)
    return path


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_call_with_a_file_of_the_persons_is_the_pages(
    visit: Open, served: Server, tmp_path: Path, language: str
) -> None:
    picture = tmp_path / 'it\'s a "7" & more.png'
    picture.write_bytes(encoded(noise(9, 9)))
    page = visit("/#/try/digits", permissions=MAY_COPY).page
    choose(page, picture)
    shown = bars(page)
    answer = run(language, copied(page, language), tmp_path)
    url = f"{served.url}/models/digits/predict?top_k=5"
    assert answer == httpx.post(url, content=picture.read_bytes(), timeout=PATIENCE_S).json()
    assert [each["label"] for each in answer["predictions"]] == [label for label, _ in shown]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_drawing_is_saved_and_sent_again(visit: Open, tmp_path: Path, language: str) -> None:
    page = visit("/#/try/digits", permissions=MAY_COPY).page
    chosen(page, "digits")
    page.check("input[value=drawing]")
    draw(page)
    shown = bars(page)
    assert saved(page, tmp_path).name == "drawing.png"
    answer = run(language, copied(page, language), tmp_path)
    assert [each["label"] for each in answer["predictions"]] == [label for label, _ in shown]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_signal_stands_in_the_call_itself(visit: Open, tmp_path: Path, language: str) -> None:
    page = visit("/#/try/signals", permissions=MAY_COPY).page
    chosen(page, "signals")
    with page.expect_response("**/infer") as answered:
        page.click("#send-signal")
    bars(page)
    assert run(language, copied(page, language), tmp_path) == answered.value.json()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_long_request_stands_in_a_file_beside_the_call(
    visit: Open, tmp_path: Path, language: str
) -> None:
    page = visit("/#/try/large", permissions=MAY_COPY).page
    chosen(page, "large")
    with page.expect_response("**/infer") as answered:
        page.click("#send-tensor")
    page.wait_for_selector(".tensor")
    assert saved(page, tmp_path).name == "request.json"
    assert run(language, copied(page, language), tmp_path) == answered.value.json()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_version_that_is_not_the_default_stands_in_the_call(
    visit: Open, tmp_path: Path, language: str
) -> None:
    page = visit("/#/try/pair/1", permissions=MAY_COPY).page
    chosen(page, "pair")
    request = json.loads(page.input_value("#tensor"))
    request["id"] = "true 'null' \"x\" $HOME"  # words and marks that a language takes for its own
    page.fill("#tensor", json.dumps(request))
    page.click("#send-tensor")
    page.wait_for_selector(".tensor")
    answer = run(language, copied(page, language), tmp_path)
    assert answer["model_version"] == "1"
    assert answer["id"] == request["id"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_with_keys_the_call_takes_the_key_from_the_environment(
    browser: Any, models: Path, tmp_path: Path, seven: Path, language: str
) -> None:
    key = KEYS["predict"]
    with server(models, API_KEYS=put(tmp_path)) as running:
        credentials = {"username": "anybody", "password": key}
        found = Visit(browser, running.url, http_credentials=credentials, permissions=MAY_COPY)
        page = found.go("/#/try/digits").page
        page.fill("#key-value", key)
        page.click("#key-dialog button[value=use]")
        chosen(page, "digits")
        choose(page, seven)
        bars(page)
        call = copied(page, language)
        assert key not in call
        shutil.copy(seven, tmp_path)
        answer = run(language, call, tmp_path, API_KEY=key)
        found.check()
        found.context.close()
    assert answer["predictions"][0]["label"] == "7"
