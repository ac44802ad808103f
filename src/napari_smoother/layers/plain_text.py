"""Names that come from files are text, also where napari and Qt look for markup."""

from __future__ import annotations

import re

_MARKUP = re.compile("(<|&(?=lt;))(?!\u2060)")
"""What makes Qt take a text for HTML, unless a word joiner follows."""


def as_text(text: str) -> str:
    """Return a text that labels, tooltips and notifications of napari show as it is.

    They take anything that looks like a tag for one, and would load its pictures from disk. A
    word joiner, which nobody sees, makes it none.
    """
    return _MARKUP.sub("\\1\u2060", text)
