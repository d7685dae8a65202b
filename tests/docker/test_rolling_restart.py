"""Replicas behind the stack's proxy are replaced under load, and nobody notices."""

import subprocess
import threading
from collections.abc import Callable, Iterator

import anyio
import pytest

from tests.chaos.load import LONG, Found, closed_loop, infer_request
from tests.docker.conftest import Compose

ROLLS = 10 if LONG else 2
CLIENTS = 8
A_WHILE_S = 0.5  # of load between two looks at whether the replicas are replaced
DIGIT = infer_request("digits", [1, 8, 8], input_name="input")


@pytest.fixture
def proxied(compose: Compose, image: None) -> Iterator[Compose]:  # noqa: ARG001 -- it has to be there
    """A stack of its own: two replicas behind the proxy, on a free port."""
    name = f"{compose.environment['COMPOSE_PROJECT_NAME']}-proxied"
    project = Compose(compose.folder, compose.environment | {"COMPOSE_PROJECT_NAME": name})
    try:
        project("up", "--detach", "--wait", "--wait-timeout", "90", "proxy")
        yield project
    finally:
        project("--profile", "proxy", "down", "--timeout", "5")


def replicas(stack: Compose) -> set[str]:
    return set(stack("--profile", "proxy", "ps", "--quiet", "replica").split())


def roll(stack: Compose) -> None:
    """Replace every replica, as README says it."""
    done = subprocess.run(
        [stack.folder / "deploy/roll.sh"],
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_rolling_restart_loses_no_request(proxied: Compose, figure: Callable[..., None]) -> None:
    """A rolling restart behind the stack's proxy under load: no request fails."""
    port = int(proxied("port", "proxy", "8000").strip().rpartition(":")[2])
    before = replicas(proxied)
    ended = threading.Event()

    def roll_all() -> None:
        try:
            for _ in range(ROLLS):
                roll(proxied)
        finally:
            ended.set()

    async def load() -> list[Found]:
        found = []
        while not ended.is_set():
            found.append(await closed_loop(port, [DIGIT], CLIENTS, A_WHILE_S))
        return found

    rolling = threading.Thread(target=roll_all)
    rolling.start()
    found = anyio.run(load)
    rolling.join()

    after = replicas(proxied)
    assert len(after) == 2
    assert not after & before  # each of them was replaced
    failed = [one.first for one in found if set(one.statuses) != {200} or one.lost]
    assert not failed
    requests = sum(one.requests for one in found)
    assert requests > ROLLS
    figure(
        "Rolling restart behind the compose stack's proxy, under load",
        requests=requests,
        replicas_replaced=2 * ROLLS,
        failed=0,
    )
