"""Bring the counts of an AnnData to ``X``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_smoother.counts.finding import find_counts
from napari_smoother.io.counts import as_counts
from napari_smoother.models.deconv.named_genes import fully_named

if TYPE_CHECKING:
    from napari_smoother.counts.origin import CountsOrigin


def with_counts_in_x(
    adata: Any, *, where: str, layer: str | None = None
) -> tuple[Any, CountsOrigin]:
    """Bring the counts to ``X``.

    Parameters
    ----------
    adata
        In memory; may be changed.
    where
        The file, for messages.
    layer
        Where the counts are: ``"X"``, ``"raw"`` or the name of a layer; None to look for them.

    Returns
    -------
    anndata.AnnData
        The same object, or another when genes are others: those of ``raw`` (then layers and varm
        are those of ``raw``, that is none), or those that are not antibodies, guides and the like.
    CountsOrigin
        Where the counts were.

    Raises
    ------
    InputError
        If no matrix can be counts, or there are no genes.

    Warns
    -----
    UserWarning
        When there are no counts and normalised values are taken, and when features are left out.
    """
    found = find_counts(adata, where=where, layer=layer)
    origin = found.origin
    counts = as_counts(found.read(), where=f"{where}, {origin.place}")
    if origin.place == "raw.X" and not found.var.index.equals(adata.var_names):
        return _with_genes_of_raw(adata, counts, fully_named(found.var, adata)), origin
    if found.columns is not None:
        adata = adata[:, found.columns].copy()
    before = adata.X
    adata.var = fully_named(adata.var, adata)
    adata.X = counts
    is_other = origin.place != "X" or origin.base is not None
    if is_other and before is not None and "X" not in adata.layers:
        adata.layers["X"] = before
    return adata, origin


def _with_genes_of_raw(adata: Any, counts: Any, var: Any) -> Any:
    from anndata import AnnData

    return AnnData(
        X=counts,
        obs=adata.obs,
        var=var,
        uns=adata.uns,
        obsm=dict(adata.obsm),
        obsp=dict(adata.obsp),
    )
