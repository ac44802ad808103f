"""A study's results where scanpy users look for them, and what brings the session back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import napari_smoother
from napari_smoother.errors import InputError
from napari_smoother.keys import (
    PLACES,
    SESSION,
    SMOOTHER,
    WRITTEN,
    key_beside,
    own_entries,
    with_report,
)
from napari_smoother.study.session_record import SessionRecord

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.annotated_section import AnnotatedSection
    from napari_smoother.section import Section
    from napari_smoother.study.analysis import Analysis
    from napari_smoother.study.study import Study


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """Everything a study found, as it was at one moment.

    Parameters
    ----------
    section
        The study's; it is never changed.
    labels
        n codes of the region of each spot, -1 for none.
    analyses
        Each analysis that has a result, with that result.
    outdated
        Names of those whose result does not belong to the recipe.
    session
        What brings everything back when the file is opened.
    """

    section: Section
    labels: NDArray[np.integer]
    analyses: tuple[tuple[Analysis[Any, Any], Any], ...]
    outdated: frozenset[str]
    session: SessionRecord

    @property
    def results(self) -> dict[str, Any]:
        """What was found, by the name of its analysis."""
        return {analysis.name: result for analysis, result in self.analyses}


def record_of(study: Study) -> SessionRecord:
    """Take down what was decided and found about the open section; quick."""
    results = {}
    for name, analysis in study.analyses.items():
        if analysis.is_up_to_date:
            kept = analysis.to_keep(analysis.found)
            if kept is not None:
                results[name] = kept
    return SessionRecord(study.recipe, study.reference, results)


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
    found = [each for each in study.analyses.values() if each.result is not None]
    if not study.graph_analysis.is_up_to_date or not all(
        each.is_up_to_date for each in found if each.follows
    ):
        raise InputError(
            "The results on screen do not belong to the present settings",
            where="study",
            remedy="Wait for the optimum, or press Solve",
        )
    return Findings(
        section,
        study.region_labels,
        tuple((analysis, analysis.result) for analysis in found),
        frozenset(analysis.name for analysis in found if not analysis.is_up_to_date),
        record_of(study),
    )


def annotate(findings: Findings, suffix: str = "_smoother") -> AnnotatedSection:
    """Return an AnnData with what was found beside the section's own content.

    ``obsp["spatial_connectivities"]`` and ``obsp["spatial_distances"]`` hold the graph as scaled
    by regions, ``obs["region"]`` the regions, ``obsm["nnls"]`` (or the name of another model) the
    proportions with the names of the types, and so on: every result as its function of the
    library writes it. ``uns["smoother"]`` has recipe and report of each beside those of before,
    and what brings the session back. Matrices are shared with the section, not copied: to be
    read, or written to a file.

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

    section, source = findings.section, findings.section.adata
    results = _results(findings)
    entries = results.uns.pop(SMOOTHER, {})
    adata = AnnotatedSection(
        section.source,
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
    renamed: dict[str, str] = {}
    for place in PLACES:
        holder: Any = getattr(adata, place)
        for name, value in getattr(results, place).items():
            if place == "obs" and name in holder and _is_told(holder[name], value):
                continue
            key = key_beside(name, holder, ours.get(place, ()), suffix)
            # Tables have items, too.
            holder[key] = _pointing(value, renamed) if place == "uns" else value
            adata.results.setdefault(place, []).append(key)
            if key != name:
                keys[f'{place}["{name}"]'] = f'{place}["{key}"]'
                renamed[name] = key
    written = {
        place: sorted({*ours.get(place, ()), *adata.results.get(place, ())})
        for place in {*ours, *adata.results}
    }
    before = set(adata.uns)
    # A report stands under the key of its result.
    entries = {
        renamed.get(name, name): _pointing(entry, renamed) for name, entry in entries.items()
    }
    entries |= {
        "version": napari_smoother.__version__,
        "section": {
            "name": section.name,
            "source": str(section.source or ""),
            "counts": section.origin.describe(),
        },
        SESSION: findings.session.to_entries(section),
        WRITTEN: {place: names for place, names in written.items() if names},
    }
    adata.uns = with_report(adata.uns, entries)
    adata.results.setdefault("uns", []).extend(set(adata.uns) - before - {SMOOTHER})
    if keys:
        told = ", ".join(f"{key} ({name} was there before)" for name, key in keys.items())
        warnings.warn(f"Results stand beside what was there, in {told}.", stacklevel=2)
    return adata


def _is_told(there: pd.Series[Any], value: pd.Series[Any]) -> bool:
    """Whether a column of numbers holds what is to be written: counts of spots by another's hand.

    Others sum single precision.
    """
    if not all(pd.api.types.is_numeric_dtype(column) for column in (there, value)):
        return False
    return bool(np.allclose(there.to_numpy(), value.to_numpy(), rtol=1e-5, equal_nan=True))


def _pointing(value: Any, renamed: dict[str, str]) -> Any:
    """Return an entry of ``uns`` that names others by the keys they have got.

    What is grouped by the classes of a column names one that was there before.
    """
    if not isinstance(value, dict):
        return value
    grouped = "" if value.get("groups") == "column" else "groupby"
    return {
        name: renamed.get(item, item)
        if name.endswith("_key") or name == grouped
        else _pointing(item, renamed)
        for name, item in value.items()
    }


def _results(findings: Findings) -> AnnData:
    """Return what was found, and nothing else, under the keys that scanpy users expect."""
    from anndata import AnnData

    section = findings.section.adata
    results = AnnData(obs=section.obs[[]], var=section.var[[]])
    classes = findings.session.recipe.regions.classes
    if classes:
        names = pd.Index([region.name for region in classes])
        results.obs["region"] = pd.Categorical.from_codes(findings.labels, categories=names)
    for analysis, result in findings.analyses:
        before = set(results.uns.get(SMOOTHER, {}))
        analysis.write(results, result)
        if analysis.name in findings.outdated:
            # One that is asked for by hand may be older than graph and settings.
            for name in set(results.uns.get(SMOOTHER, {})) - before:
                results.uns[SMOOTHER][name]["up_to_date"] = False
    return results


def annotated(study: Study, suffix: str = "_smoother") -> AnnData:
    """Return a copy of the section with everything the study found; see `annotate`.

    Raises
    ------
    InputError
        If no section is open, or the results do not belong to the settings.
    """
    return annotate(findings_of(study), suffix).copy()
