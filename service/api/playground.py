"""``/``: the page for people, from files of the package, under a strict content policy.

The files are read once, when the app is made. A browser asks for each again when the page is
opened anew, and is answered without a body while it has today's: so nobody sees a page of which
one half is older than the other.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service.api.documentation import add_unlisted
from service.errors import NotFound

_INDEX = "index.html"

# What else lies in the folder is not given away.
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)

# Everything comes from this server: no inline script, no inline style, no text that becomes
# markup (trusted types). blob: is for the picture that a person has just chosen.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;"
    " connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_PERMISSIONS = "camera=(self), microphone=(), geolocation=(), display-capture=()"
_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Cache-Control": "no-cache",  # kept, and asked for again each time
        "Content-Security-Policy": _POLICY,
        "Permissions-Policy": _PERMISSIONS,
    }
)
_NOT_MODIFIED = 304
# 128 bits: no two versions of a file have the same.
_TAG_DIGITS = 32


@dataclass(frozen=True)
class _File:
    """One file of the page."""

    content: bytes
    media_type: str
    tag: str

    def answer(self, known: str | None) -> Response:
        """Return the file, or that the one is still right that a browser knows."""
        headers = {**_HEADERS, "ETag": self.tag}
        if known is not None and self._is_among(known):
            return Response(status_code=_NOT_MODIFIED, headers=headers)
        return Response(self.content, headers=headers | {"Content-Type": self.media_type})

    def _is_among(self, known: str) -> bool:
        """Compare weakly, as ``If-None-Match`` demands (RFC 9110, 13.1.2)."""
        tags = [each.strip().removeprefix("W/") for each in known.split(",")]
        return self.tag in tags or tags == ["*"]


def add_page(app: FastAPI) -> None:
    """Add the page at ``/`` and its files."""
    found = dict(_read(files("service") / "playground"))

    async def page(request: Request) -> Response:
        return found[_INDEX].answer(request.headers.get("if-none-match"))

    async def page_file(request: Request) -> Response:
        name = "/".join(request.path_params.values())
        if name not in found or name == _INDEX:
            raise NotFound("the page has no such file")
        return found[name].answer(request.headers.get("if-none-match"))

    add_unlisted(app, "/", page)
    for path in ("/playground/{file}", "/playground/{part}/{file}"):
        add_unlisted(app, path, page_file)


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, _File]]:
    """Give the files of a folder and of those in it, by their paths."""
    for each in folder.iterdir():
        path = prefix + each.name
        if each.is_dir():
            yield from _read(each, f"{path}/")
        elif (suffix := _suffix(each.name)) in _TYPES:
            content = each.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:_TAG_DIGITS]}"'
            yield path, _File(content, _TYPES[suffix], tag)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
