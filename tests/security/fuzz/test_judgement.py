"""The searches see what they look for: a wrong answer, a hang, a death, a leak, a growth."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.load import HOST, infer_request
from tests.security.fuzz import target
from tests.security.fuzz.judgement import NOBODY, Search, alarms
from tests.security.fuzz.search import held
from tests.security.fuzz.target import CORPUS, Watch, corpus, keep, send_all
from tests.service import zoo
from tests.service.servers import PATIENCE_S, server

pytestmark = pytest.mark.anyio

ANSWER = b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n"
FAILED = ANSWER % 500 + b'{"error":"%b"}'

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER % 200,
        ANSWER % 400 + ANSWER % 429,
        FAILED % b"output 'y' holds NaN or infinity",
        FAILED % b"the model failed on this input",
        b"",  # nothing was asked for that is answered
    ],
)
def test_what_is_intended_is_no_find(answer: bytes) -> None:
    search = Search("x")
    search.take(b"sent", answer)
    assert search.wrong == []


@pytest.mark.parametrize(
    "answer",
    [
        FAILED % b"an unexpected error; the log has it under the request id",
        ANSWER % 200 + ANSWER % 500,
        ANSWER % 501,
        ANSWER % 400 + b"x" * 4000,
        ANSWER % 400 + b"Traceback (most recent call last):",
        ANSWER % 200 + b"/usr/lib/python3.11/json",
        NOBODY,
        None,
    ],
)
def test_what_is_not_is_one(answer: bytes | None) -> None:
    search = Search("x")
    search.take(b"sent", answer)
    assert [sent for sent, _ in search.wrong] == [b"sent"]


@pytest.mark.parametrize(
    ("code", "details", "found"),
    [
        ("OK", "", 0),
        ("INVALID_ARGUMENT", "inputs lacks 'x'", 0),
        ("INTERNAL", "the model failed on this input", 0),
        ("INTERNAL", "an unexpected error; the log has it under the request id", 1),
        ("UNKNOWN", "Unexpected <class 'KeyError'>", 1),
        ("UNIMPLEMENTED", "", 1),
        ("INVALID_ARGUMENT", "in site-packages", 1),
        ("INVALID_ARGUMENT", "x" * 5000, 1),
        (None, "no end", 1),
    ],
)
def test_calls_are_judged_likewise(code: str | None, details: str, found: int) -> None:
    search = Search("x")
    search.take_call(b"sent", code, details)
    assert len(search.wrong) == found


@pytest.mark.parametrize(("answer", "found"), [(b"\0\0\x18", 0), (b"", 0), (NOBODY, 1), (None, 1)])
def test_connections_of_any_answer_end(answer: bytes | None, found: int) -> None:
    search = Search("x")
    search.take_end(b"sent", answer)
    assert len(search.wrong) == found


@asynccontextmanager
async def answering(answer: Answering) -> AsyncIterator[int]:
    async with await asyncio.start_server(answer, HOST, 0) as listening:
        yield listening.sockets[0].getsockname()[1]


async def fails(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(FAILED % b"an unexpected error")
    writer.close()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.close()


async def test_a_server_that_fails_is_found(tmp_path: Path) -> None:
    search = Search("requests")
    async with answering(fails) as port:
        await send_all(search, port, [b"first\n", b"second\n"])
    assert (search.tried, len(search.wrong)) == (2, 2)
    words = keep(search, tmp_path)
    assert f"FUZZ_SEED={target.SEED}" in words
    assert (tmp_path / "requests/0").read_bytes() in {b"first\n", b"second\n"}
    assert (tmp_path / "requests/0.answer").read_bytes().startswith(b"HTTP/1.1 500 ")


async def test_a_server_that_hangs_is_found() -> None:
    release = asyncio.Event()

    async def hangs(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    search = Search("x")
    async with answering(hangs) as port:
        await send_all(search, port, [b"sent\n"], patience_s=0.3)
        release.set()
    assert search.wrong == [(b"sent\n", b"no end of the answer")]


async def test_a_server_that_is_gone_is_found() -> None:
    async with answering(closes) as port:
        pass
    search = Search("x")
    await send_all(search, port, [b"sent\n"])
    assert search.wrong == [(b"sent\n", NOBODY)]


async def test_what_was_under_way_at_the_death_of_a_worker_is_found_and_the_search_ends() -> None:
    search = Search("x")
    async with answering(closes) as port:
        await send_all(search, port, itertools.repeat(b"sent\n"), alive=lambda: False)
    assert set(search.wrong) == {(b"sent\n", b"a worker died meanwhile")}


async def test_a_worker_that_died_is_seen_and_so_is_what_a_server_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo.put(tmp_path, "m", 1, zoo.doubler())
    with server(tmp_path, WORKERS=2) as running:
        watch = Watch(running)
        monkeypatch.setattr(target, "MOST_GROWTH_MEBIBYTES", 50)
        assert "the server grew by" in watch.complaints()[0]  # from nothing, to what it is
        watch.begin()
        search = Search("x")
        await send_all(search, running.port, [infer_request("m", [3])])
        assert (search.answers, watch.complaints()) == ({"200": 1}, [])
        first = running.workers[0]
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            while watch.alive():  # noqa: ASYNC110 -- the kernel tells nobody
                await asyncio.sleep(0)
        assert f"of the workers [{first}" in watch.complaints()[-1]
        running.stop()
        watch.end()


@pytest.mark.parametrize(
    "line", ["Traceback (most recent call last):", "[error] unexpected error", "x: UserWarning: y"]
)
def test_lines_that_should_not_be_in_a_log_are_shown_with_those_around_them(line: str) -> None:
    assert alarms(["before", line, "behind"]) == ["before", line, "behind"]
    assert alarms(["before", "[error] run failed"]) == []


@pytest.mark.parametrize("path", [*CORPUS.glob("*")], ids=lambda path: path.name)
def test_a_corpus_is_never_empty(path: Path) -> None:
    assert corpus(path.name)


def test_a_corpus_that_is_not_there_fails() -> None:
    with pytest.raises(AssertionError, match="is empty, or is not there"):
        corpus("nothing")


# A search of a kind that does to every input what the seed says.
SEARCHING = """
import os, sys
from pathlib import Path
from tests.security.fuzz import search
def read(data):
    if data == b"raise": raise KeyError(data)
    if data == b"die": os.abort()
    if data == b"hang":
        while True: pass
    return True
search.corpus = lambda name: [b"good", sys.argv[2].encode()]
kind = search.Kind(lambda: [b"good"], lambda chance, data: data, read)
search.main({"kind": kind}, Path(sys.argv[1]), 0.1, 0, patience_s=0.5)
"""


def searched(root: Path, folder: Path, what: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", SEARCHING, str(folder), what],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def test_an_error_of_a_reader_is_kept_with_its_input(root: Path, tmp_path: Path) -> None:
    done = searched(root, tmp_path, "raise")
    assert done.returncode == 0, done.stderr
    assert "KeyError" in (tmp_path / "kind.json").read_text()
    assert (tmp_path / "kind-1").read_bytes() == b"raise"


@pytest.mark.parametrize(("what", "ended"), [("die", -signal.SIGABRT), ("hang", -signal.SIGALRM)])
def test_the_input_of_which_a_process_dies_or_at_which_it_hangs_is_kept(
    root: Path, tmp_path: Path, what: str, ended: int
) -> None:
    done = searched(root, tmp_path, what)
    assert done.returncode == ended
    assert "in read" in done.stderr  # where it was
    assert held(tmp_path / "kind.last") == what.encode()
