"""The browser of this machine, and a visit to a page of ours in it.

Playwright brings no browser here: it drives the one that Debian has.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # tests run as root, too
    *("--disable-gpu", "--disable-quic", "--no-first-run"),
    # It asks nobody but the server of the test.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # A camera that shows a moving pattern, and a person who allows it.
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
# Enough for a loaded machine; a test that needs it has failed.
PATIENCE_MS = 60_000

# Every violation is an event of the document, whether or not the console has a line for it.
WATCH = """
globalThis.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  globalThis.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
});
"""


@contextmanager
def started() -> Iterator[Browser]:
    """Start the browser for the time of the block; without one the test is skipped."""
    program = next((path for path in map(shutil.which, NAMES) if path), None)
    if program is None:
        pytest.skip("no browser: apt install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page in a browser of its own memory, and what went wrong in it.

    Args:
        browser: that runs.
        url: of the server.
        options: of the context: the size of the window, the colour scheme, a name and a password.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url.rstrip("/")
        self.errors: list[str] = []
        self.policy: list[str] = []
        self.hosts: set[str] = set()
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.on("request", self._see)
        self.page: Page = self.context.new_page()
        self.page.add_init_script(WATCH)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)

    def go(self, path: str = "/", **options: Any) -> Self:
        """Open a path of the server."""
        self.page.goto(self.url + path, **options)
        return self

    @property
    def complaints(self) -> list[str]:
        """Errors of the scripts, and what the content policy forbade; answers are none."""
        return self.errors + self.policy + list(self.page.evaluate("globalThis.violations"))

    def check(self) -> None:
        """Nothing went wrong, and nobody else was asked for anything."""
        assert self.complaints == []
        assert self.hosts == {urlsplit(self.url).netloc}

    def _see(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"blob", "data"}:
            self.hosts.add(address.netloc)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and "Content Security Policy" in message.text:
            self.policy.append(message.text)
