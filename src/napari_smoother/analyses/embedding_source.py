"""Which embedding of a section is meant: one that was found here, or a table of obsm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import InputError, require

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

FoundBy = Literal["reduction", "autoencoder", "umap", "obsm"]


@dataclass(frozen=True, slots=True)
class EmbeddingSource(ComparedByValue):
    """Which embedding of a section is meant.

    Parameters
    ----------
    kind
        What found it: "reduction" (spatial components), "autoencoder", "umap", or "obsm" for a
        table that came with the section.
    key
        Name of that table; "" for the others.
    """

    kind: FoundBy = "reduction"
    key: str = ""


def obsm_table(
    adata: AnnData, key: str, where: str
) -> tuple[NDArray[np.float64], pd.Index[str] | None]:
    """Return a table of obsm as numbers.

    Parameters
    ----------
    adata
        With the table.
    key
        Its name.
    where
        What the section is called in errors.

    Returns
    -------
    values
        Spots x dims.
    columns
        Names of the dims, where the table has them.

    Raises
    ------
    InputError
        If there is no such table, or it does not hold numbers alone.
    """
    if key not in adata.obsm:
        raise InputError(
            f"There is no embedding {key!r}; there are: {', '.join(adata.obsm) or 'none'}",
            where=f"{where}, obsm",
            remedy="Choose one of these",
        )
    table: Any = adata.obsm[key]
    is_sparse: bool = sparse.issparse(table)
    try:
        values = np.asarray(table.toarray() if is_sparse else table, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The embedding does not hold numbers alone: {error}",
            where=f'{where}, obsm["{key}"]',
            remedy="Choose another one",
        ) from error
    require(
        values.ndim == 2 and values.shape[1] > 0,
        f"The embedding has the shape {values.shape}",
        f'{where}, obsm["{key}"]',
        "Choose one of spots x dims",
    )
    return values, table.columns if isinstance(table, pd.DataFrame) else None
