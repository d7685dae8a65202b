"""The page at ``/`` and its files: types, policy, what a browser may keep."""

import re
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.anyio

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOLDER = Path(str(files("service") / "playground"))
FILES = sorted(
    str(path.relative_to(FOLDER))
    for path in FOLDER.rglob("*")
    if path.is_file() and path.name != "index.html"
)


async def test_the_way_in_is_the_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text == (FOLDER / "index.html").read_text()


@pytest.mark.parametrize("file", FILES)
async def test_each_file_is_there_in_its_type(client: httpx.AsyncClient, file: str) -> None:
    answer = await client.get(f"/playground/{file}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == TYPES[Path(file).suffix]
    assert answer.content == (FOLDER / file).read_bytes()


async def test_whatever_the_page_names_is_there(client: httpx.AsyncClient) -> None:
    """A relative link: so the page works below a path of a proxy's as well."""
    named = re.findall(r'(?:src|href)="([^"#]+)"', (FOLDER / "index.html").read_text())
    assert len(named) > 5
    for link in named:
        assert not link.startswith(("/", "http"))
        assert (await client.get(f"/{link}")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/playground",
        "/playground/",
        "/playground/nothing.js",
        "/playground/index.html",
        "/playground/style",
        "/playground/../app.py",
        "/playground/%2e%2e/app.py",
        "/playground//main.js",
    ],
)
async def test_there_is_nothing_else(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("path", ["/", "/playground/main.js"])
async def test_the_policy_allows_files_of_this_server_and_nothing_inline(
    client: httpx.AsyncClient, path: str
) -> None:
    policy = (await client.get(path)).headers["content-security-policy"]
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["img-src"] == "'self' blob:"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["trusted-types"] == "'none'"
    assert "unsafe" not in policy


async def test_the_page_may_use_the_camera_and_no_other_device(client: httpx.AsyncClient) -> None:
    allowed = (await client.get("/")).headers["permissions-policy"]
    assert "camera=(self)" in allowed
    assert "microphone=()" in allowed


@pytest.mark.parametrize("path", ["/", "/playground/main.js"])
async def test_a_browser_that_has_todays_file_gets_no_body(
    client: httpx.AsyncClient, path: str
) -> None:
    first = await client.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    for unknown in ('"other"', tag.strip('"'), ""):
        answer = await client.get(path, headers={"If-None-Match": unknown})
        assert (answer.status_code, answer.content) == (200, first.content)


async def test_each_file_has_a_tag_of_its_own(client: httpx.AsyncClient) -> None:
    tags = {(await client.get(f"/playground/{file}")).headers["etag"] for file in FILES}
    assert len(tags) == len(FILES)


async def test_the_head_of_the_page_is_that_of_its_body(client: httpx.AsyncClient) -> None:
    head, get = await client.head("/"), await client.get("/")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.headers["etag"] == get.headers["etag"]
