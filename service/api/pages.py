"""``/docs``: Swagger UI from the server's own assets, under a strict content policy."""

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.requests import Request
from starlette.responses import HTMLResponse

from service.api.documentation import add_unlisted

_ASSETS = "/docs/assets"


def add_pages(app: FastAPI) -> None:
    """Add the page and its assets."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=app.title,
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon.png",
    )
    page.headers["Content-Security-Policy"] = _content_policy(bytes(page.body).decode())

    async def docs(_request: Request) -> HTMLResponse:
        return page

    add_unlisted(app, "/docs", docs)
    assets = StaticFiles(directory=str(files("fastapi_offline") / "static"))
    app.mount(_ASSETS, assets, name="docs-assets")


def _content_policy(html: str) -> str:
    """Allow our own files and exactly the one inline script of the page, by its hash."""
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in digests)
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
