"""Foreign text in a page."""

from html import escape

from export.printable import printable


def text(words: str) -> str:
    """Words as HTML, with a visible mark for each character that a page cannot show as it is."""
    return escape(printable(words))
