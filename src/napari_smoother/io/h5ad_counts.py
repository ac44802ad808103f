"""Find the counts of an AnnData, and bring them to ``X``."""

from __future__ import annotations

import warnings
from typing import Any

from napari_smoother.errors import InputError
from napari_smoother.io.counts import are_whole, as_counts
from napari_smoother.models.deconv.genes import named_var


def with_counts_in_x(adata: Any, *, where: str) -> Any:
    """Bring the counts to ``X``.

    Parameters
    ----------
    adata
        In memory; may be changed.
    where
        The file, for messages.

    Returns
    -------
    anndata.AnnData
        The same object, or another when the counts were in ``raw`` and have other genes; then
        layers and varm are those of ``raw``, that is none.

    Raises
    ------
    InputError
        If no matrix can be counts, or there are no genes.

    Warns
    -----
    UserWarning
        When the values are not whole, as after normalisation.
    """
    if "counts" in adata.layers:
        return _moved(adata, adata.layers["counts"], where=f'{where}, layers["counts"]')
    if adata.X is not None and are_whole(adata.X):
        adata.X = as_counts(adata.X, where=f"{where}, X")
        return adata
    if adata.raw is not None and (adata.X is None or are_whole(adata.raw.X)):
        return _from_raw(adata, where)
    if adata.X is None:
        raise InputError(
            "The file has no counts",
            where=f"{where}, X",
            remedy='Store the counts in X or in layers["counts"]',
        )
    adata.X = as_counts(adata.X, where=f"{where}, X")
    warnings.warn(
        f"The values in X of {where} are not whole numbers, so they are not counts but "
        'normalised. Models of counts want the raw counts: store them in layers["counts"].',
        stacklevel=2,
    )
    return adata


def _moved(adata: Any, counts: Any, *, where: str) -> Any:
    before = adata.X
    adata.X = as_counts(counts, where=where)
    if before is not None and "X" not in adata.layers:
        adata.layers["X"] = before
    return adata


def _from_raw(adata: Any, where: str) -> Any:
    from anndata import AnnData

    raw = adata.raw
    if raw.var_names.equals(adata.var_names):
        return _moved(adata, raw.X, where=f"{where}, raw")
    return AnnData(
        X=as_counts(raw.X, where=f"{where}, raw"),
        obs=adata.obs,
        var=named_var(raw.var, adata.var),
        uns=adata.uns,
        obsm=dict(adata.obsm),
        obsp=dict(adata.obsp),
    )
