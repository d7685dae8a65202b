"""A browser without a window, told what to do over a pipe (the DevTools protocol)."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 60

Message = dict[str, Any]

# The pipe's ends are the descriptors 3 and 4 of the browser.
_START = 'exec "$@" 3<&"$IN" 4>&"$OUT"'


def found() -> str | None:
    """The browser of this machine, if it has one."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Page:
    """One page of a browser.

    Args:
        orders: what the browser reads.
        news: what it writes.
        credentials: the name and the password that a person would type when asked.
    """

    def __init__(self, orders: int, news: int, credentials: tuple[str, str] | None) -> None:
        self._orders, self._news = orders, news
        self._credentials = credentials
        self._unread = b""
        self._session: str | None = None
        self._number = 0
        self.complaints: list[str] = []
        self.asked_for_password = 0
        target = self.order("Target.createTarget", url="about:blank")["targetId"]
        attached = self.order("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Log", "Runtime", "Page", "Network", "Audits"):
            self.order(f"{domain}.enable")
        if credentials is not None:
            self.order("Fetch.enable", handleAuthRequests=True)

    def order(self, method: str, **parameters: Any) -> Message:
        """Have something done; return what came of it."""
        number = self._send(method, **parameters)
        while True:
            message = self._read()
            if message.get("id") == number:
                assert "error" not in message, message
                result: Message = message["result"]
                return result
            self._hear(message)

    def tell(self, script: str) -> Any:
        """Run a script in the page; return its value."""
        found = self.order("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str) -> Any:
        """Run a script until its value is true."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if value := self.tell(script):
                return value
        raise AssertionError(f"{script} never came true; the browser says {self.complaints}")

    def _send(self, method: str, **parameters: Any) -> int:
        self._number += 1
        message: Message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._orders, json.dumps(message).encode() + b"\0")
        return self._number

    def _read(self) -> Message:
        while b"\0" not in self._unread:
            piece = os.read(self._news, 2**16)
            assert piece, "the browser has ended"
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\0")
        message: Message = json.loads(line)
        return message

    def _hear(self, message: Message) -> None:
        method, told = message.get("method"), message.get("params", {})
        if method == "Fetch.requestPaused":
            self._send("Fetch.continueRequest", requestId=told["requestId"])
        elif method == "Fetch.authRequired":
            self._log_in(told["requestId"])
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(told["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and told["type"] in {"error", "assert"}:
            self.complaints.append(str(told["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif method == "Audits.issueAdded" and "ContentSecurity" in told["issue"]["code"]:
            self.complaints.append(json.dumps(told["issue"]["details"]))

    def _log_in(self, request: str) -> None:
        assert self._credentials is not None
        self.asked_for_password += 1
        name, password = self._credentials
        response = {
            "response": "ProvideCredentials",
            "username": name,
            "password": password,
        }
        self._send("Fetch.continueWithAuth", requestId=request, authChallengeResponse=response)


@contextmanager
def opened(
    browser: str, profile: Path, credentials: tuple[str, str] | None = None
) -> Iterator[Page]:
    """Start a browser for the time of the block.

    Args:
        browser: its program.
        profile: a folder for what it keeps.
        credentials: typed when it asks for a name and a password.
    """
    (theirs_in, orders), (news, theirs_out) = os.pipe(), os.pipe()
    command = [
        *("bash", "-c", _START, "bash", browser),
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-first-run", "--remote-debugging-pipe", f"--user-data-dir={profile}"),
    ]
    with subprocess.Popen(
        command,
        env=os.environ | {"IN": str(theirs_in), "OUT": str(theirs_out)},
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Page(orders, news, credentials)
        finally:
            os.close(orders)
            os.close(news)
            process.kill()
