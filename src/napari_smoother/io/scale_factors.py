"""The scale factors of a section: ``scalefactors_json.json``, or the same inside an h5ad."""

from __future__ import annotations

import gzip
import json
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LARGEST = 10_000_000
"""Bytes that are read of a file of a few names and numbers."""


def read_scale_factors(path: Path | None, *, folder: Path) -> dict[str, float]:
    """Read the scale factors of Space Ranger.

    Parameters
    ----------
    path
        ``scalefactors_json.json``, perhaps gzipped; None when there is none.
    folder
        Where it was looked for.

    Returns
    -------
    dict
        Positive numbers by their names; empty when nothing can be read, since spots and counts
        are of use without a picture.

    Warns
    -----
    UserWarning
        When the file is missing or not valid, or a factor is not a positive number.
    """
    remedy = "Copy scalefactors_json.json again from the output of Space Ranger"
    if path is None:
        warnings.warn(
            f"There is no scalefactors_json.json in {folder}: the pictures cannot be placed and "
            f"are left out. {remedy}.",
            stacklevel=2,
        )
        return {}
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as file:
            factors = json.loads(file.read(LARGEST).decode("utf-8-sig"))
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as fault:
        warnings.warn(
            f"{path} is not valid ({fault}): the pictures cannot be placed and are left out. "
            f"{remedy}.",
            stacklevel=2,
        )
        return {}
    if not isinstance(factors, dict):
        warnings.warn(
            f"{path} does not hold named scale factors: the pictures cannot be placed and are "
            f"left out. {remedy}.",
            stacklevel=2,
        )
        return {}
    sound = positive_factors(factors, where=str(path))
    if not sound:
        warnings.warn(
            f"{path} holds no scale factor: the pictures cannot be placed and are left out. "
            f"{remedy}.",
            stacklevel=2,
        )
    return sound


def positive_factors(factors: Mapping[str, Any], *, where: str) -> dict[str, float]:
    """Keep the factors that are positive numbers.

    Parameters
    ----------
    factors
        Names and values of any kind; a number may be an array of one element.
    where
        File and field, for the message.

    Returns
    -------
    dict

    Warns
    -----
    UserWarning
        When a factor that should be a number is none, or not positive and finite.
    """
    sound: dict[str, float] = {}
    for name, value in factors.items():
        array = np.asarray(value)
        if array.size == 1 and array.dtype.kind in "iuf":
            number = float(array.reshape(()))
            if np.isfinite(number) and number > 0:
                sound[str(name)] = number
                continue
        if str(name).endswith("scalef") or "diameter" in str(name) or "micron" in str(name):
            warnings.warn(
                f"{name} = {value!r} in {where} is not a positive number and is not used. "
                "Take it from the scalefactors_json.json that Space Ranger wrote.",
                stacklevel=2,
            )
    return sound
