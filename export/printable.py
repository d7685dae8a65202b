"""Foreign text on a terminal or a page: names of nodes are whatever a file says they are."""

import unicodedata

# Controls move the cursor of a terminal and end a document; format characters turn a line around
# or hide in it.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(words: str) -> str:
    """Words in one line, with a visible mark for each character that cannot be shown as it is."""
    return "".join(
        REPLACEMENT if unicodedata.category(letter) in UNPRINTABLE else letter for letter in words
    )
