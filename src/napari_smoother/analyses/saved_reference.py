"""A reference as texts, numbers and arrays, to be kept in a file, and back."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.plain import to_plain
from napari_smoother.counts.origin import CountsOrigin
from napari_smoother.models.deconv.cell_spread import CellSpread
from napari_smoother.models.deconv.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping

ARRAYS = ("mean_counts", "mean_log", "cells_per_type", "cell_totals")


def reference_to_entries(reference: Reference) -> dict[str, Any]:
    """Return all that a composition can be found from, without the cells.

    Parameters
    ----------
    reference
        Cell types, with what is known of how their cells differ.

    Returns
    -------
    dict
        Arrays by name; names, file and origin as JSON under ``"facts"``, for names may be any
        text; how cells differ under ``"spread"``.
    """
    facts = {
        "name": reference.name,
        "types": list(reference.types),
        "spellings": [list(map(str, names)) for names in reference.spellings],
        "has_gene_ids": reference.gene_ids is not None,
        "n_dropped": reference.n_dropped,
        "origin": None if reference.origin is None else to_plain(reference.origin),
        "source": None if reference.source is None else str(reference.source),
        "cell_type": reference.cell_type,
    }
    entries: dict[str, Any] = {"facts": json.dumps(facts)}
    for name in ARRAYS:
        if getattr(reference, name) is not None:
            entries[name] = getattr(reference, name)
    spread = reference.spread
    if spread is not None:
        entries["spread"] = {field.name: getattr(spread, field.name) for field in fields(spread)}
    return entries


def reference_from_entries(entries: Mapping[str, Any]) -> Reference:
    """Return the reference that `reference_to_entries` took down.

    Raises
    ------
    Exception
        Of many kinds, if they were changed.
    """
    facts = json.loads(entries["facts"])
    genes, *others = (pd.Index(names) for names in facts["spellings"])
    gene_ids = others.pop(0) if facts["has_gene_ids"] else None
    origin = facts["origin"]
    if origin is not None:
        origin = CountsOrigin(**{**origin, "places": tuple(origin["places"])})
    spread = None
    if "spread" in entries:
        kept = dict(entries["spread"])
        for name in ("counting", "total_variation"):
            kept[name] = float(kept[name])
        spread = CellSpread(**kept)
    return Reference(
        name=facts["name"],
        types=tuple(facts["types"]),
        genes=genes,
        gene_ids=gene_ids,
        spread=spread,
        n_dropped=facts["n_dropped"],
        origin=origin,
        source=None if facts["source"] is None else Path(facts["source"]),
        cell_type=facts["cell_type"],
        other_names=tuple(others),
        **{name: np.asarray(entries[name]) for name in ARRAYS if name in entries},
    )
