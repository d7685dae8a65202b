"""A person tries models: pictures from everywhere, signals, tensors; and what goes wrong."""

import io
import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.person import bars, choose, chosen, draw, in_words
from tests.service.pictures import encoded, noise
from tests.service.servers import PATIENCE_S, Server

PREDICT = "/models/digits/predict?top_k=5"
TIMES = "\N{MULTIPLICATION SIGN}"
IS_BLACK = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.every((value, at) => at % 4 === 3 || value === 0);
}"""


def answered(served: Server, picture: bytes, path: str = PREDICT) -> list[tuple[str, str]]:
    """What the server says of a picture, as the page writes it."""
    answer = httpx.post(served.url + path, content=picture, timeout=PATIENCE_S).json()
    return [(each["label"], in_words(each["probability"])) for each in answer["predictions"]]


def classified(served: Server, values: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> str:
    """The class that the server gives a signal of three channels."""
    tensor = {"name": "input", "shape": values.shape, "datatype": "FP32", "data": values.tolist()}
    url = f"{served.url}/v2/models/signals/infer"
    answer = httpx.post(url, json={"inputs": [tensor]}, timeout=PATIENCE_S).json()
    return f"class {int(np.argmax(answer['outputs'][0]['data'][:10]))}"


def drop(page: Page, name: str, content: bytes, kind: str) -> None:
    make = """([name, content, kind]) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(content)], name, { type: kind }));
      return data;
    }"""
    data = page.evaluate_handle(make, [name, list(content), kind])
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})


def test_a_picture_that_is_chosen_is_classified(visit: Open, served: Server, seven: Path) -> None:
    page = visit("/#/try/digits").page
    choose(page, seven)
    assert bars(page) == answered(served, seven.read_bytes())
    assert bars(page)[0][0] == "7"
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator("#said")).to_have_text("7, 93.2 %")


def test_the_time_of_a_request_is_split_and_adds_up(visit: Open, seven: Path) -> None:
    page = visit("/#/try/digits").page
    choose(page, seven)
    bars(page)
    told = page.locator("#latency dl > div").all_inner_texts()
    names = [each.split("\n")[0] for each in told]
    assert names == ["Decode", "Queue", "Infer", "Network, browser", "Total"]
    milliseconds = [float(each.split("\n")[1].split()[0]) for each in told if each.endswith("ms")]
    assert len(milliseconds) == len(names)
    *parts, total = milliseconds
    # Each is rounded to a tenth at worst, and the page knows more of them than it shows.
    assert sum(parts) == pytest.approx(total, abs=0.05 * len(told))
    assert all(part > 0 for part in parts)


def test_a_picture_that_is_dropped_is_classified(visit: Open, served: Server, seven: Path) -> None:
    page = visit("/#/try/digits").page
    chosen(page, "digits")
    drop(page, "digit_7.png", seven.read_bytes(), "image/png")
    assert bars(page) == answered(served, seven.read_bytes())


def test_a_picture_that_is_pasted_is_classified(visit: Open, served: Server) -> None:
    """The clipboard holds PNG; the browser writes it anew, point by point the same."""
    page = visit("/#/try/digits", permissions=["clipboard-read", "clipboard-write"]).page
    chosen(page, "digits")
    picture = encoded(noise(40, 30))
    write = """async (content) => {
      const blob = new Blob([new Uint8Array(content)], { type: "image/png" });
      await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    }"""
    page.evaluate(write, list(picture))
    page.keyboard.press("Control+v")
    assert bars(page) == answered(served, picture)


def test_a_picture_is_taken_with_the_camera(visit: Open) -> None:
    page = visit("/#/try/digits").page
    chosen(page, "digits")
    page.click("#take")
    expect(page.locator("#shutter")).to_be_enabled()
    page.click("#shutter")
    assert len(bars(page)) == 5
    expect(page.locator("#camera")).to_be_hidden()
    assert page.evaluate("document.querySelector('#viewfinder').srcObject") is None


def test_a_phone_takes_the_picture_with_its_own_camera(visit: Open, seven: Path) -> None:
    page = visit("/#/try/digits", has_touch=True, is_mobile=True).page
    chosen(page, "digits")
    with page.expect_file_chooser() as choosing:
        page.tap("#take")
    assert choosing.value.element.get_attribute("capture") == "environment"
    choosing.value.set_files(seven)
    assert bars(page)[0][0] == "7"


def test_a_digit_that_is_drawn_is_recognized(visit: Open) -> None:
    page = visit("/#/try/digits").page
    chosen(page, "digits")
    page.check("input[value=drawing]")
    draw(page)
    assert bars(page)[0][0] == "7"
    page.click("#undo")
    page.click("#clear")
    assert page.locator("#drawing").evaluate(IS_BLACK)


def test_a_digit_is_drawn_dark_on_light_where_a_model_wants_it(visit: Open) -> None:
    page = visit("/#/try/digits").page
    chosen(page, "digits")
    page.check("input[value=drawing]")
    page.check("#inverted")
    draw(page)
    first = bars(page)
    page.uncheck("#inverted")
    expect(page.locator(".bars .value").first).not_to_have_text(first[0][1])
    assert bars(page)[0][0] == "7"


@pytest.mark.parametrize("model", ["pair", "signals"])
def test_there_is_no_canvas_for_what_is_no_picture(visit: Open, model: str) -> None:
    page = visit(f"/#/try/{model}").page
    chosen(page, model)
    expect(page.locator("#drawing")).to_be_hidden()


def test_how_many_classes_are_shown_is_the_persons_choice(visit: Open, seven: Path) -> None:
    page = visit("/#/try/digits").page
    choose(page, seven)
    assert len(bars(page)) == 5
    page.fill("#top", "2")
    page.keyboard.press("Tab")
    expect(page.locator(".bars li")).to_have_count(2)


def test_a_generated_signal_is_classified(visit: Open) -> None:
    page = visit("/#/try/signals").page
    chosen(page, "signals")
    expect(page.locator("#signal-plot svg path.line")).to_have_count(3)
    with page.expect_request("**/v2/models/signals/infer") as asked:
        page.click("#send-signal")
    sent = json.loads(asked.value.post_data or "")["inputs"][0]
    assert sent["shape"] == [1, 3, 28]
    first = bars(page)
    assert sum(float(value.split()[0]) for _, value in first) == pytest.approx(100, abs=0.5)
    page.select_option("#form", "square")
    with page.expect_response("**/v2/models/signals/infer"):
        page.click("#send-signal")
    expect(page.locator(".bars .value").first).not_to_have_text(first[0][1])


@pytest.mark.parametrize("kind", ["npy", "json", "csv"])
def test_a_signal_from_a_file_is_classified_exactly(
    visit: Open, served: Server, tmp_path: Path, kind: str
) -> None:
    values = np.random.default_rng(1).normal(size=(3, 28)).astype(np.float32)
    path = tmp_path / f"signal.{kind}"
    if kind == "npy":
        np.save(path, values)
    elif kind == "json":
        path.write_text(json.dumps(values.tolist()))
    else:
        np.savetxt(path, values, delimiter=",", fmt="%.9g")
    page = visit("/#/try/signals").page
    chosen(page, "signals")
    page.check("input[value=file]")
    page.set_input_files("#signal-file", path)
    expect(page.locator("#signal-words")).to_have_text(f"signal.{kind}: 1 signal")
    with page.expect_request("**/v2/models/signals/infer") as asked:
        page.click("#send-signal")
    sent = json.loads(asked.value.post_data or "")["inputs"][0]
    assert np.array_equal(np.float32(sent["data"]), values.ravel())
    assert bars(page)[0][0] == classified(served, values[None])


def test_several_signals_of_a_file_are_answered_row_by_row(
    visit: Open, served: Server, tmp_path: Path
) -> None:
    values = 3 * np.random.default_rng(2).normal(size=(4, 3, 28)).astype(np.float32)
    np.save(tmp_path / "signals.npy", values)
    page = visit("/#/try/signals").page
    chosen(page, "signals")
    page.check("input[value=file]")
    page.set_input_files("#signal-file", tmp_path / "signals.npy")
    page.click("#send-signal")
    for row in range(4):
        page.select_option("#answer-body select", str(row))
        assert bars(page)[0][0] == classified(served, values[row : row + 1])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "a.csv",
            b"1,2,3\n4,5,6\n",
            f"the file holds 2 {TIMES} 3 numbers; a signal has 3 {TIMES} 28",
        ),
        ("a.csv", b"1,2\n3,x\n", "line 2 is not made of numbers"),
        ("a.csv", b"1,2\n3\n", "the lines are not all of one length"),
        ("a.csv", b"", "the file is empty"),
        ("a.json", b"[[1, 2", "the file is not JSON"),
        ("a.json", b'["a"]', "the file does not hold a list of numbers"),
        ("a.npy", b"\x93NUMPY", "this is no .npy file"),
    ],
)
def test_a_file_that_is_no_signal_is_refused_in_words(
    visit: Open, name: str, content: bytes, words: str
) -> None:
    page = visit("/#/try/signals").page
    chosen(page, "signals")
    page.check("input[value=file]")
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    page.set_input_files("#signal-file", file)  # type: ignore[arg-type]  # it is a FilePayload
    expect(page.locator("#signal-words")).to_have_text(f"{name}: {words}.")
    expect(page.locator("#send-signal")).to_be_disabled()


def test_the_example_of_a_tensor_model_is_answered(visit: Open) -> None:
    page = visit("/#/try/pair/1").page
    chosen(page, "pair")
    asked = json.loads(page.input_value("#tensor"))
    assert [each["name"] for each in asked["inputs"]] == ["a", "b"]
    page.fill("#tensor", page.input_value("#tensor").replace("[0, 0.5]", "[2, 3]", 1))
    page.click("#send-tensor")
    page.wait_for_selector(".tensor")
    told = [each.split() for each in page.locator(".tensor").all_inner_texts()]
    assert told == [
        ["sum", "FP32", "1", TIMES, "2", "2", "3.5"],
        ["difference", "FP32", "1", TIMES, "2", "2", "2.5"],
    ]
    page.click("#example")
    assert json.loads(page.input_value("#tensor")) == asked


def test_what_is_no_json_is_not_sent(visit: Open) -> None:
    page = visit("/#/try/pair/1").page
    chosen(page, "pair")
    page.fill("#tensor", "{")
    page.click("#send-tensor")
    expect(page.locator("#answer-body .problem")).to_contain_text("The request is not JSON")
    expect(page.locator("#calls")).to_be_hidden()


def test_what_the_protocol_refuses_is_said_with_what_to_do(visit: Open) -> None:
    page = visit("/#/try/pair/1").page
    chosen(page, "pair")
    page.fill(
        "#tensor", '{"inputs": [{"name": "a", "shape": [1, 9], "datatype": "FP32", "data": [1]}]}'
    )
    page.click("#send-tensor")
    problem = page.locator("#answer-body .problem")
    expect(problem).to_contain_text("The server answered 400")
    expect(problem).to_contain_text("Compare the request with the signature")
    expect(problem).to_contain_text("400 · invalid_request · request ")


def test_what_is_no_picture_is_refused_in_words(visit: Open, tmp_path: Path) -> None:
    page = visit("/#/try/digits").page
    (tmp_path / "notes.txt").write_text("hello")
    choose(page, tmp_path / "notes.txt")
    problem = page.locator("#answer-body .problem")
    expect(problem).to_contain_text("The body is not an image in a format that the server decodes")
    expect(problem).to_contain_text("Save the picture as PNG, JPEG or WebP")
    expect(problem).to_contain_text("415 · unsupported_image · request ")
    expect(page.locator("#latency")).to_be_hidden()
    expect(page.locator("#preview")).to_be_hidden()


def test_a_picture_that_is_too_large_is_refused_in_words(visit: Open, served: Server) -> None:
    page = visit("/#/try/digits").page
    chosen(page, "digits")
    buffer = io.BytesIO(bytes(17 * 2**20))
    drop_large = """(size) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(size)], "large.png", { type: "image/png" }));
      return data;
    }"""
    data = page.evaluate_handle(drop_large, len(buffer.getvalue()))
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    problem = page.locator("#answer-body .problem")
    expect(problem).to_contain_text("FOLDSERVE_MAX_BODY_BYTES")
    assert served.process.poll() is None


def test_a_version_that_is_broken_says_why(visit: Open) -> None:
    page = visit("/#/try/broken").page
    chosen(page, "broken")
    expect(page.locator("#input-words")).to_contain_text("cannot answer now: the file is no ONNX")
    expect(page.locator("#state")).to_have_text("failed")


def test_another_version_is_another_model(visit: Open) -> None:
    page = visit("/#/try/pair").page
    chosen(page, "pair")
    expect(page.locator("#version")).to_have_value("2")
    assert len(json.loads(page.input_value("#tensor"))["inputs"]) == 1
    page.select_option("#version", "1")
    pair = f"FP32 N {TIMES} 2, FP32 N {TIMES} 2"
    expect(page.locator("#summary")).to_have_text(f"{pair} → {pair}")
    assert page.evaluate("location.hash") == "#/try/pair/1"
    assert len(json.loads(page.input_value("#tensor"))["inputs"]) == 2
    page.go_back()
    expect(page.locator("#version")).to_have_value("2")
