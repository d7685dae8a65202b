"""``report.html``: what became of every batch norm, for people, beside the artifact."""

from export.page.document import compose

__all__ = ["compose"]
