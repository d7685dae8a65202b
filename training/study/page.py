"""A study as one HTML page that needs nothing but itself: pictures, and a table."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files

from training.study.claims import Claim
from training.study.config import StudyConfig

HEADINGS = ("", "without BN", "BN before the activation", "BN after it")


def compose(
    config: StudyConfig, rows: Sequence[Claim], pictures: Mapping[str, tuple[bytes, str]]
) -> str:
    """Return the page.

    Args:
        config: What was studied.
        rows: The table.
        pictures: PNG files and what they show, by name.
    """
    style = files("training.study").joinpath("style.css").read_text("utf-8")
    policy = b64encode(sha256(style.encode()).digest()).decode()
    title = f"A study of batch normalization: {config.name}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:;'
        f" style-src 'sha256-{policy}'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f"<h1>{escape(title)}</h1>{_introduction(config)}"
        f"<h2>What was measured</h2>{_table(rows)}"
        f"<h2>Pictures</h2>{''.join(map(_figure, pictures.values()))}</body></html>\n"
    )


def _introduction(config: StudyConfig) -> str:
    article, deep = config.article, config.deep
    return (
        "<p>What Ioffe and Szegedy claim of batch normalization (2015, arXiv:1502.03167), against"
        " the same networks without it. SGD with momentum"
        f" {config.momentum:g} and a constant learning rate, no weight decay; medians over"
        f" {len(config.seeds)} seeds; a learning rate trains if every seed reaches"
        f" {config.trains_at:.0%}.</p>"
        f'<p class="soft">The article\'s network: {escape(str(article.model["name"]))} on'
        f" {article.data.name}, {article.steps} steps of {article.batch_size}. Depth and scale:"
        f" {escape(str(deep.model['name']))} of {deep.width} filters on {deep.data.name},"
        f" {deep.steps} steps of {deep.batch_size}.</p>"
    )


def _table(rows: Sequence[Claim]) -> str:
    head = "".join(f'<th scope="col">{heading}</th>' for heading in HEADINGS)
    body = "".join(
        f'<tr><th scope="row">{escape(row.what)}</th>'
        f"<td>{row.without}</td><td>{row.before}</td><td>{row.after}</td></tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def _figure(picture: tuple[bytes, str]) -> str:
    content, shows = picture
    data = b64encode(content).decode()
    return (
        f'<figure><img alt="{escape(shows)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(shows)}</figcaption></figure>"
    )
