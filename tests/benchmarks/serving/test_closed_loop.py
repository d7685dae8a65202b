import json
from pathlib import Path

import pytest

from benchmarks.serving.calls import Call
from benchmarks.serving.closed_loop import NoWrkError, closed_loop, parse
from tests.benchmarks.serving.servers import Reply, serving

SAID = {
    "requests": 120,
    "seconds": 2.0,
    "p50_ms": 1.5,
    "p99_ms": 9.0,
    "statuses": 20,
    "connects": 1,
    "reads": 2,
    "writes": 3,
    "timeouts": 4,
}
OUTPUT = f"Running 2s test @ http://127.0.0.1\n  1 threads\n@@ {json.dumps(SAID)}\n"


def written(folder: Path, port: int, *bodies: bytes) -> list[Path]:
    files = [folder / str(number) for number, _ in enumerate(bodies)]
    for file, body in zip(files, bodies, strict=True):
        file.write_bytes(Call("/", "application/json", body).encoded(port))
    return files


def test_only_answers_with_status_200_count():
    load = parse(OUTPUT)
    assert (load.requests, load.errors) == (100, 30)
    assert load.rate == 50
    assert (load.p50_ms, load.p99_ms) == (1.5, 9.0)


def test_output_without_the_script_s_line_says_what_went_wrong():
    with pytest.raises(NoWrkError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused\n")


@pytest.mark.usefixtures("_wrk")
def test_wrk_sends_what_the_files_hold_in_turns(tmp_path):
    seen: set[bytes] = set()

    def note(body: bytes) -> Reply:
        seen.add(body)
        return Reply(b"{}")

    bodies = (b"\x00\xff binary", b'{"input": [1]}')
    with serving(note) as port:
        load = closed_loop(port, written(tmp_path, port, *bodies), clients=2, seconds=1)
    assert seen == set(bodies)
    assert load.requests > 10  # a hundred times that on any machine
    assert load.errors == 0
    assert 0 < load.p50_ms <= load.p99_ms


@pytest.mark.usefixtures("_wrk")
def test_wrk_tells_other_statuses_apart(tmp_path):
    with serving(lambda _: Reply(b"", status=503)) as port:
        load = closed_loop(port, written(tmp_path, port, b"x"), clients=1, seconds=1)
    assert load.requests == 0
    assert load.errors > 0


@pytest.mark.usefixtures("_wrk")
def test_a_server_that_is_not_there_is_no_load(tmp_path):
    with serving(lambda _: Reply(b"")) as port:
        pass
    with pytest.raises(NoWrkError, match="connect"):
        closed_loop(port, written(tmp_path, port, b"x"), clients=1, seconds=1)
