"""Every file of ``examples/`` is run as a person would, against the real server, and is right."""

import functools
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.chromium import Visit, started
from tests.clients.conftest import PATIENCE_S
from tests.service import servers
from tests.service.pictures import grey

IMAGE = "tests/data/digit_7.png"
LABEL = "7"  # what the picture shows

NOT_RUN_ALONE = {
    "README.md",  # its table is held to the folder below
    "foldserve.mjs",  # node.mjs and browser.html import it
}


@dataclass(frozen=True)
class Truth:
    """What the server says to a client that none of the examples is: httpx, and JSON.

    Args:
        url: of the server.
        grpc: its address of gRPC.
        predictions: of the picture, the likeliest first.
        logits: of an empty picture.
        origin: of the pages that may call.
    """

    url: str
    grpc: str
    predictions: list[Any]
    logits: list[float]
    origin: str

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def three(self) -> list[str]:
        return [f"{each['label']}: {each['probability']:.3f}" for each in self.predictions[:3]]

    @property
    def empty(self) -> str:
        best = int(np.argmax(self.logits))
        return f"logits of four empty pictures: (4, {len(self.logits)}), each {best}"


class QuietPages(SimpleHTTPRequestHandler):
    """Serves the folder of examples as ``python -m http.server`` does."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[int]:
    """Answer on a port with a handler."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def pages(root: Path) -> Iterator[str]:
    """The origin of a page that shows the examples."""
    with serving(functools.partial(QuietPages, directory=str(root / "examples"))) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def truth(root: Path, pages: str) -> Iterator[Truth]:
    """A server of the bundled model, and what it answers."""
    zeros = {"name": "input", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [0] * 64}
    with servers.server(root / "models", GRPC_PORT=0, CORS_ORIGINS=pages) as running:
        image = (root / IMAGE).read_bytes()
        predicted = httpx.post(f"{running.url}/models/digits/predict", content=image).json()
        inferred = httpx.post(
            f"{running.url}/v2/models/digits/infer", json={"inputs": [zeros]}
        ).json()
        predictions, logits = predicted["predictions"], inferred["outputs"][0]["data"]
        assert predictions[0]["label"] == LABEL
        yield Truth(running.url, running.grpc, predictions, logits, pages)
        assert running.stop() == 0


def run(root: Path, *command: str | Path) -> list[str]:
    """Return the lines that an example prints, run from the root as their README says."""
    done = subprocess.run(
        command, cwd=root, capture_output=True, check=False, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_curl(root: Path, truth: Truth) -> None:
    said = run(root, "sh", "examples/curl.sh", truth.url)
    assert said[0] == "Ready?"
    ready, body, form, numbers, classes = map(json.loads, said[1::2])
    assert ready == {"live": True, "ready": True}
    assert body == form == {"model": "digits", "version": "1", "predictions": truth.predictions[:1]}
    assert numbers["outputs"][0]["data"] == truth.logits
    assert [text.split(":")[1:] for text in classes["outputs"][0]["data"]] == [
        [str(each["index"]), each["label"]] for each in truth.predictions[:2]
    ]


def test_python_client(root: Path, truth: Truth) -> None:
    said = run(root, sys.executable, "examples/python_client.py", truth.url)
    assert said[:-1] == [*truth.three, truth.empty]
    assert said[-1].startswith("model_not_found: ")


def test_python_async(root: Path, truth: Truth) -> None:
    said = run(root, sys.executable, "examples/python_async.py", truth.url)
    assert said == [f"{LABEL}: 100 of 100"]


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_triton(root: Path, truth: Truth, clients_python: Path, kind: str) -> None:
    address = truth.address if kind == "http" else truth.grpc
    said = run(root, clients_python, f"examples/triton_{kind}.py", address)
    assert said[0] == "ready: True True"
    classes = [f"{each['label']}: class {each['index']}" for each in truth.predictions[:2]]
    assert [line.partition(", score ")[0] for line in said[1:3]] == classes
    assert said[3:] == [truth.empty]


def test_node(root: Path, truth: Truth) -> None:
    if shutil.which("node") is None:
        pytest.skip("no node")
    said = run(root, "node", "examples/node.mjs", truth.url)
    assert said[:-1] == [*truth.three, truth.empty]
    assert said[-1].startswith("model_not_found: ")


AGAIN = """
import { Foldserve } from "./examples/foldserve.mjs";
const foldserve = new Foldserve(process.argv[1]);
console.log(JSON.stringify(await foldserve.predict("m", new Uint8Array([7]))));
"""


def test_the_javascript_client_tries_again_what_may_pass(root: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("no node")
    refusals, bodies = [503, 429], []

    class Busy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(refusals.pop(0) if refusals else 200)
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(b'{"predictions":[1]}')

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with serving(Busy) as port:
        module = ("--input-type=module", "--eval", AGAIN)
        said = run(root, "node", *module, f"http://127.0.0.1:{port}")
    assert said == ["[1]"]
    assert bodies == [b"\7"] * 3


def test_browser(root: Path, truth: Truth) -> None:
    """The page of another origin: a file is chosen, and its class shown."""
    with started() as browser:
        visit = Visit(browser, truth.origin).go(f"/browser.html?server={truth.url}")
        visit.page.set_input_files("input[type=file]", root / IMAGE)
        expect(visit.page.locator("output")).to_have_text(truth.three[0])
        assert visit.complaints == []


def test_another_picture_is_another_answer(root: Path, truth: Truth, tmp_path: Path) -> None:
    """The twin of the tests above: what they compare is not said of everything."""
    blank = tmp_path / "blank.png"
    blank.write_bytes(grey(0, (8, 8)))
    said = run(root, sys.executable, "examples/python_client.py", truth.url, blank)
    assert said[:3] != truth.three


def test_an_example_that_fails_says_so(root: Path, truth: Truth) -> None:
    nowhere = f"{truth.url}/nowhere"
    for command in (["sh", "examples/curl.sh"], [sys.executable, "examples/python_client.py"]):
        with pytest.raises(AssertionError):
            run(root, *command, nowhere)


def test_every_example_is_run_and_in_the_table(root: Path) -> None:
    files = {path.name for path in (root / "examples").iterdir() if path.is_file()}
    here = Path(__file__).read_text()
    assert {name for name in files - NOT_RUN_ALONE if name not in here} <= {
        "triton_http.py",  # by their kind
        "triton_grpc.py",
    }
    listed = re.findall(r"^\| `(\S+)` \|", (root / "examples/README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(files - {"README.md"})
