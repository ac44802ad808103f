"""What a user is told of each setting: the texts in the docstrings of the records."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from typing import Any

ENTRY = re.compile(r"^(\w+(?:, \w+)*)$")


def describe_fields(kind: Any) -> dict[str, str]:
    """Return what each field of a record means.

    Parameters
    ----------
    kind
        Class of a record, its fields described under *Parameters* in numpydoc.

    Returns
    -------
    dict
        Text by field, in the order of the fields: in one line, without marks for code. A text
        of the class comes before that of a class it is derived from; a field that is not
        described has an empty one.
    """
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        texts |= _described(each.__dict__.get("__doc__") or "")
    return {field.name: texts.get(field.name, "") for field in fields(kind)}


def _described(docstring: str) -> dict[str, str]:
    """Return the texts of a docstring; entries such as ``rho, lambda_`` describe each of them."""
    lines = inspect.cleandoc(docstring).splitlines()
    if "Parameters" not in lines:
        return {}
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in lines[lines.index("Parameters") + 2 :]:
        entry = ENTRY.match(line)
        if entry:
            names = entry[1].split(", ")
            texts |= dict.fromkeys(names, "")
        elif line.startswith(" "):
            for name in names:
                texts[name] = f"{texts[name]} {line.strip()}".strip()
        elif line:
            break  # another part of the docstring
    return {name: re.sub(r"`+", "", text) for name, text in texts.items()}
