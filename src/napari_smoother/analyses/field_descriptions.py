"""What the docstring of a settings record says about each of its fields."""

from __future__ import annotations

import inspect
import re
from typing import Any

NAMES = re.compile(r"[a-z]\w*(, [a-z]\w*)*")


def describe_fields(record_type: type[Any]) -> dict[str, str]:
    """Return the description of each field of a record, on one line.

    Parameters
    ----------
    record_type
        A record with a numpydoc section *Parameters*; fields that it inherits are described
        where they come from.
    """
    described: dict[str, str] = {}
    for each in reversed(record_type.__mro__):
        described |= _parameters(inspect.cleandoc(each.__dict__.get("__doc__") or ""))
    return described


def _parameters(docstring: str) -> dict[str, str]:
    _, _, section = docstring.partition("Parameters\n----------\n")
    described: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if NAMES.fullmatch(line):
            names = line.split(", ")
        elif line.startswith("    "):
            text = line.strip().replace("``", "").replace("`", "")
            for name in names:
                described[name] = f"{described.get(name, '')} {text}".strip()
        elif line:
            break  # the next section
    return described
