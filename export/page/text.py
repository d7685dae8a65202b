"""Foreign text in a page: names of nodes are whatever a file says they are."""

import unicodedata
from html import escape

# Controls end a document, and format characters turn a line around or hide in it.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def text(words: str) -> str:
    """Words as HTML, with a visible mark for each character that a page cannot show as it is."""
    return escape(
        "".join(
            REPLACEMENT if unicodedata.category(letter) in UNPRINTABLE else letter
            for letter in words
        )
    )
