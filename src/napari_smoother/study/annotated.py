"""A study's results where scanpy users look for them."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

import napari_smoother
from napari_smoother.errors import InputError
from napari_smoother.keys import (
    PLACES,
    SMOOTHER,
    WRITTEN,
    key_beside,
    own_entries,
    with_report,
    without_none,
)

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.regions import Regions
    from napari_smoother.annotated_section import AnnotatedSection
    from napari_smoother.section import Section
    from napari_smoother.study.analysis import Analysis
    from napari_smoother.study.results import Graph
    from napari_smoother.study.study import Study


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """Everything a study found, as it was at one moment.

    Parameters
    ----------
    section, graph, composition, regions
        The study's; None of them is ever changed.
    labels
        n codes of the region of each spot, -1 for none.
    analyses
        Each analysis that has a result, with that result.
    recipe
        The settings that decided them.
    """

    section: Section
    graph: Graph | None
    composition: Composition | None
    regions: Regions
    labels: NDArray[np.integer]
    analyses: tuple[tuple[Analysis[Any, Any], Any], ...]
    recipe: dict[str, Any]


def findings_of(study: Study) -> Findings:
    """Take down what a study found: quick, and to be done where the study lives.

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
    return Findings(
        section=section,
        graph=study.graph,
        composition=study.composition,
        regions=study.regions,
        labels=study.region_labels,
        analyses=tuple(
            (analysis, analysis.result)
            for analysis in study.analyses.values()
            if analysis.result is not None
        ),
        recipe=recipe(study),
    )


def annotate(findings: Findings, suffix: str = "_smoother") -> AnnotatedSection:
    """Return an AnnData with what was found beside the section's own content.

    ``obsp["spatial_connectivities"]`` and ``obsp["spatial_distances"]`` hold the graph as scaled
    by regions, ``obs["region"]`` the regions, ``obsm["nnls"]`` (or the name of another model) the
    proportions with the names of the types, ``obsm["nnls_deviation"]`` their standard deviations
    where they were asked for, what the study's analyses found, and ``uns["smoother"]`` settings,
    outlines and reports beside those of before. Matrices are shared with the section, not copied:
    to be read, or written to a file.

    Parameters
    ----------
    findings
        Of a study.
    suffix
        What is put behind the key of a result where something that we did not write has that
        key, which stays as it is.

    Warns
    -----
    UserWarning
        Naming the keys of such results.
    """
    from napari_smoother.annotated_section import AnnotatedSection

    source = findings.section.adata
    results = _results(findings)
    adata = AnnotatedSection(
        findings.section.source,
        X=source.X,
        obs=source.obs.copy(),
        var=source.var.copy(),
        uns=dict(source.uns),
        obsm=dict(source.obsm),
        varm=dict(source.varm),
        layers=dict(source.layers),
        obsp=dict(source.obsp),
        varp=dict(source.varp),
        raw=source.raw,
    )
    ours = own_entries(source.uns)
    keys: dict[str, str] = {}
    for place in PLACES:
        holder: Any = getattr(adata, place)
        for name, value in getattr(results, place).items():
            key = key_beside(name, holder, ours.get(place, ()), suffix)
            holder[key] = value
            adata.results.setdefault(place, []).append(key)
            if key != name:
                keys[f'{place}["{name}"]'] = f'{place}["{key}"]'
    written = {
        place: sorted({*ours.get(place, ()), *adata.results.get(place, ())})
        for place in {*ours, *adata.results}
    }
    before = set(adata.uns)
    written = {place: names for place, names in written.items() if names}
    adata.uns = with_report(adata.uns, {**findings.recipe, WRITTEN: written})
    adata.results.setdefault("uns", []).extend(set(adata.uns) - before - {SMOOTHER})
    if keys:
        told = ", ".join(f"{key} ({name} was there before)" for name, key in keys.items())
        warnings.warn(f"Results stand beside what was there, in {told}.", stacklevel=2)
    return adata


def _results(findings: Findings) -> AnnData:
    """Return what was found, and nothing else, under the keys that scanpy users expect."""
    from anndata import AnnData

    graph, composition, regions = findings.graph, findings.composition, findings.regions
    section = findings.section.adata
    results = AnnData(obs=section.obs[[]], var=section.var[[]])
    if graph is not None:
        results.obsp["spatial_connectivities"] = graph.weights
        results.obsp["spatial_distances"] = graph.neighbourhood.distances
    if regions.classes:
        names = pd.Index([region.name for region in regions.classes])
        results.obs["region"] = pd.Categorical.from_codes(findings.labels, categories=names)
    if composition is not None:
        key = composition.settings.model
        results.obsm[key] = composition.table()
        if composition.deviation is not None:
            results.obsm[f"{key}_deviation"] = composition.table("deviation")
    for analysis, result in findings.analyses:
        analysis.write(results, result)
    return results


def annotated(study: Study, suffix: str = "_smoother") -> AnnData:
    """Return a copy of the section with everything the study found; see `annotate`.

    Raises
    ------
    InputError
        If no section is open, or the results do not belong to the settings.
    """
    return annotate(findings_of(study), suffix).copy()


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
            "counts": section.origin.describe() if section is not None else "",
        },
        "settings": {
            "graph": without_none(asdict(study.recipe.graph)),
            "deconvolution": without_none(asdict(study.deconvolution)),
        },
        "regions": {
            # Lists: names as keys of dictionaries would be paths in a file.
            "names": [region.name for region in regions.classes],
            "colours": [list(region.colour) for region in regions.classes],
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
            "counts": study.reference.origin.describe() if study.reference.origin else "",
            "has_counted_cells": study.reference.spread is not None,
        }
        content["fit"] = {
            "model": composition.settings.model,
            **composition.report.as_dict(),
            "residual": composition.residual,
        }
    for name, analysis in study.analyses.items():
        if analysis.shown is not None:
            shown = analysis.shown
            found = without_none(analysis.recipe(shown.request.settings, shown.result))
            # One that is trained by hand may be older than graph and settings.
            content[name] = {**found, "up_to_date": analysis.is_up_to_date}
    return content
