import asyncio
import threading
from pathlib import Path

import orjson
import pytest

from benchmarks.faults.roads import HUNG, LOST, RIGHT, WRONG, judged, over_http
from benchmarks.serving.calls import plain_json
from benchmarks.serving.models import ServedModel
from tests.benchmarks.faults.samples import LOGITS, sample
from tests.benchmarks.serving.servers import Reply, serving

GOOD = orjson.dumps({"logits": LOGITS.tolist()})
BAD = orjson.dumps({"logits": (LOGITS + 1).tolist()})
PATIENCE_S = 30.0


async def asked(port: int, patience_s: float = PATIENCE_S) -> str:
    model = ServedModel("m", Path(), "x", (1, 8, 8))
    return await over_http(port, plain_json("/"), model, patience_s)(sample())


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (Reply(GOOD), RIGHT),
        (Reply(BAD), WRONG),
        (Reply(b"no"), WRONG),
        (Reply(b"", status=503), "503"),
        (None, LOST),
    ],
)
def test_the_word_says_what_came(reply, word):
    with serving(lambda _: reply) as port:
        assert asyncio.run(asked(port)) == word


def test_nobody_there_is_lost():
    with serving(lambda _: None) as port:
        pass
    assert asyncio.run(asked(port)) == LOST


def test_no_answer_is_hung_and_not_waited_for():
    over = threading.Event()

    def wait(_: bytes) -> Reply:
        over.wait(PATIENCE_S)
        return Reply(GOOD)

    with serving(wait) as port:
        assert asyncio.run(asked(port, patience_s=0.05)) == HUNG
        over.set()


@pytest.mark.anyio
async def test_who_is_cancelled_hangs_up():
    began, ended = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        began.set()
        try:
            while await reader.read(1 << 16):
                pass
        except ConnectionResetError:
            pass
        ended.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        task = asyncio.create_task(asked(server.sockets[0].getsockname()[1]))
        async with asyncio.timeout(PATIENCE_S):
            await began.wait()
            task.cancel()
            await ended.wait()
    assert task.cancelled()


def test_a_batch_of_one_row_is_an_answer():
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n%b"
    assert judged(answer % orjson.dumps([LOGITS.tolist()]), sample()) == RIGHT
    assert judged(answer % orjson.dumps([(LOGITS + 1).tolist()]), sample()) == WRONG
