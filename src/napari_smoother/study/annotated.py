"""A study's results where scanpy users look for them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

import napari_smoother
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_smoother.study.study import Study


def annotated(study: Study) -> AnnData:
    """Return a copy of the section with everything the study found.

    ``obsp["spatial_connectivities"]`` and ``obsp["spatial_distances"]`` hold the graph as scaled
    by regions, ``obs["region"]`` the regions, ``obsm["nnls"]`` the proportions with the names of
    the types (``obsm["nnls_deviation"]`` their standard deviations, where they were asked for),
    what the study's analyses found, and ``uns["smoother"]`` settings, outlines and reports.

    Parameters
    ----------
    study
        With a section open and results up to date.

    Raises
    ------
    InputError
        If no section is open, or the results do not belong to the settings.
    """
    section = study.section
    if section is None:
        raise InputError("There is nothing to save", where="study", remedy="Open a section first")
    live = [each for each in study.analyses.values() if each.follows and each.result is not None]
    if not study.is_up_to_date or not all(analysis.is_up_to_date for analysis in live):
        raise InputError(
            "The results on screen do not belong to the present settings",
            where="study",
            remedy="Wait for the optimum, or press Solve",
        )
    adata = section.adata.copy()
    if study.graph is not None:
        adata.obsp["spatial_connectivities"] = study.graph.weights
        adata.obsp["spatial_distances"] = study.graph.neighbourhood.distances
    regions = study.regions
    if regions.classes:
        names = pd.Index([region.name for region in regions.classes])
        adata.obs["region"] = pd.Categorical.from_codes(study.region_labels, categories=names)
    if study.composition is not None:
        adata.obsm["nnls"] = pd.DataFrame(
            study.composition.proportions,
            index=adata.obs_names,
            columns=list(study.composition.types),
        )
        if study.composition.deviation is not None:
            adata.obsm["nnls_deviation"] = pd.DataFrame(
                study.composition.deviation.proportion_deviation,
                index=adata.obs_names,
                columns=list(study.composition.types),
            )
    for analysis in study.analyses.values():
        if analysis.result is not None:
            analysis.write(adata, analysis.result)
    adata.uns["smoother"] = recipe(study)
    return adata


def recipe(study: Study) -> dict[str, Any]:
    """Return every setting that decided the results, and the report of the fit.

    Values are numbers, strings, lists and dictionaries, so that JSON and HDF5 can hold them.
    """
    regions = study.regions
    section, composition = study.section, study.composition
    content: dict[str, Any] = {
        "version": napari_smoother.__version__,
        "section": {
            "name": section.name if section is not None else "",
            "source": str(section.source or "") if section is not None else "",
        },
        "settings": _without_none(asdict(study.settings)),
        "regions": {
            "classes": {region.name: list(region.colour) for region in regions.classes},
            "shapes": {
                f"{order:04d}": {"region": shape.region, "vertices": shape.vertices.tolist()}
                for order, shape in enumerate(regions.shapes)
            },
        },
    }
    if composition is not None and study.reference is not None:
        content["reference"] = {
            "name": study.reference.name,
            "n_genes_shared": composition.n_genes,
        }
        content["fit"] = {
            "residual": composition.residual,
            "converged": composition.converged,
            "seconds": composition.seconds,
        }
    for name, analysis in study.analyses.items():
        if analysis.shown is not None:
            shown = analysis.shown
            found = _without_none(analysis.recipe(shown.request.settings, shown.result))
            # One that is trained by hand may be older than graph and settings.
            content[name] = {**found, "up_to_date": analysis.is_up_to_date}
    return content


def _without_none(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out settings at None, which HDF5 cannot hold: they are the defaults."""
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if value is not None
    }
