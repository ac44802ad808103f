"""One section by one recipe: what a process of this machine or a worker of a cluster does.

A task holds texts and paths only, so that it can be sent anywhere; the section is read where the
task is performed.
"""

from __future__ import annotations

import hashlib
import json
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

import napari_smoother
from napari_smoother.analyses.plain import to_plain
from napari_smoother.analyses.recipe_file import Wanted, from_toml
from napari_smoother.analyses.region_columns import regions_from_column
from napari_smoother.analyses.regions import RegionClass, Regions, RegionShape
from napari_smoother.atomic import replacing
from napari_smoother.errors import InputError
from napari_smoother.figures.colours import categorical_palette
from napari_smoother.io.h5ad import write_h5ad
from napari_smoother.io.opening import open_section
from napari_smoother.io.reference import read_reference
from napari_smoother.io.regions_geojson import read_regions_geojson
from napari_smoother.study.annotated import annotate, findings_of
from napari_smoother.study.autoencoder import Autoencoder
from napari_smoother.study.comparison import Comparison
from napari_smoother.study.imputation import Imputation
from napari_smoother.study.ranked_genes import RankedGenes
from napari_smoother.study.reduction import Reduction
from napari_smoother.study.session_record import SessionRecord
from napari_smoother.study.study import Study
from napari_smoother.study.umap import Umap

if TYPE_CHECKING:
    import os

    from anndata import AnnData

    from napari_smoother.analyses.recipe_file import RecipeFile
    from napari_smoother.models.deconv.reference import Reference
    from napari_smoother.section import Section

FURTHER = {
    kind.wanted: kind
    for kind in (Reduction, Autoencoder, Umap, Imputation, Comparison, RankedGenes)
}
"""Analyses beside the deconvolution, by what a recipe calls them."""


@dataclass(frozen=True, slots=True)
class Task:
    """One section by one recipe.

    Parameters
    ----------
    sample
        What results are called.
    path, library
        The section, and which one of the file.
    recipe
        TOML.
    recipe_folder
        What paths in the recipe are relative to.
    reference, cell_type
        Cell types to look for; None for those of the recipe.
    regions
        GeoJSON; None for the regions of the recipe.
    output
        Folder that gets ``<sample>.h5ad`` and ``<sample>.json``.
    """

    sample: str
    path: str
    recipe: str
    recipe_folder: str
    output: str
    library: str | None = None
    reference: str | None = None
    cell_type: str | None = None
    regions: str | None = None

    @classmethod
    def alone(
        cls,
        recipe: str,
        section: str | os.PathLike[str],
        reference: str | os.PathLike[str] | None,
        cell_type: str | None,
        library: str | None,
    ) -> Task:
        """Return a task whose results are not written."""
        return cls(
            sample="section",
            path=str(section),
            recipe=recipe,
            recipe_folder="",
            output="",
            library=library,
            reference=None if reference is None else str(reference),
            cell_type=cell_type,
        )

    @property
    def section_file(self) -> Path:
        """Where the section with its results goes."""
        return Path(self.output) / f"{self.sample}.h5ad"

    @property
    def report_file(self) -> Path:
        """Where the report goes."""
        return Path(self.output) / f"{self.sample}.json"


def perform(task: Task) -> dict[str, Any]:
    """Do a task; what goes wrong is in the report, never raised.

    Parameters
    ----------
    task
        The section, the recipe, and where results go.

    Returns
    -------
    dict
        Numbers, texts, lists and dictionaries, also written to `Task.report_file`: ``"status"``
        (``"done"``, ``"unchanged"`` where it was done before from the same recipe and files, or
        ``"failed"``), ``"seconds"``, ``"means"`` of the composition over all spots and then
        by region, reports of the analyses, ``"remarks"``, and ``"error"`` where there is one.
    """
    began = time.perf_counter()
    report: dict[str, Any] = {"sample": task.sample, "path": task.path}
    try:
        content = from_toml(task.recipe, "recipe")
        signature = _signature(task, content)
        before = _report_before(task)
        if before is not None and before.get("signature") == signature:
            return {**before, "status": "unchanged"}
        report |= {"signature": signature, "version": napari_smoother.__version__}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            report |= _found(task, content)
        told = [str(each.message) for each in caught if each.category is UserWarning]
        report |= {"status": "done", "remarks": list(dict.fromkeys(told))}
    except Exception as fault:
        report |= {"status": "failed", "error": str(fault) or type(fault).__name__}
        if not isinstance(fault, InputError):
            report["traceback"] = traceback.format_exc()
    report["seconds"] = time.perf_counter() - began
    try:
        _write_report(task, report)
    except (InputError, OSError) as fault:
        unwritten = f"The report cannot be written: {fault}"
        error = "; ".join(filter(None, (report.get("error"), unwritten)))
        report |= {"status": "failed", "error": error}
    return report


def run_recipe(
    recipe: str,
    section: str | Path,
    *,
    reference: str | Path | None = None,
    cell_type: str | None = None,
    library: str | None = None,
) -> AnnData:
    """Find all that a recipe wants of a section: what the window and *run* find, to the bit.

    Parameters
    ----------
    recipe
        TOML, as the window saves it.
    section
        An ``.h5ad`` file or an output folder of Space Ranger.
    reference
        Single cells or a signature table; None for that of the recipe.
    cell_type
        Column of single cells with their types.
    library
        Which section of the file, where it holds several.

    Returns
    -------
    AnnData
        Spots x genes, with the results as the functions of the library write them, and the
        session that the window opens from it once it is saved.

    Raises
    ------
    InputError
        If recipe, section or reference cannot be used.
    """
    task = Task.alone(recipe, section, reference, cell_type, library)
    content = from_toml(recipe)
    return annotate(findings_of(studied(task, content))).copy()


def evaluate(section: Section, content: RecipeFile, reference: Reference | None = None) -> Study:
    """Find all that a recipe wants, as the window does.

    Parameters
    ----------
    section
        Whose.
    content
        The recipe, and what is wanted of it.
    reference
        Cell types to look for, where the deconvolution is wanted.

    Returns
    -------
    Study
        With its results up to date.

    Raises
    ------
    InputError
        If data or settings cannot be used.
    """
    study = Study()
    study.open(section, SessionRecord(content.recipe, reference))
    if "deconvolution" in content.run.analyses and study.reference is None:
        if reference is None:
            raise InputError(
                "Cell types to look for are missing",
                where="recipe, run.reference",
                remedy="Give a reference, or leave deconvolution out of run.analyses",
            )
        study.set_reference(reference)  # which tells what is wrong with it
    if content.recipe.quality.are_limits:
        study.quality_analysis.update()
    study.graph_analysis.update()
    # What others are found from comes first.
    for wanted in sorted(content.run.analyses, key=get_args(Wanted).index):
        analysis = (
            study.composition_analysis if wanted == "deconvolution" else FURTHER[wanted](study)
        )
        analysis.update()
    return study


def studied(task: Task, content: RecipeFile) -> Study:
    """Read what a task names, and find what its recipe wants.

    Raises
    ------
    InputError
        If section, reference or regions cannot be used.
    """
    section = open_section(task.path, library=task.library, counts=content.run.counts)
    wanted = content.run.analyses
    reference = None
    if "deconvolution" in wanted:
        path = _reference_path(task, content)
        if path is not None:
            cell_type = task.cell_type or content.run.cell_type
            reference = _read_reference(
                str(path), cell_type, content.run.reference_counts, path.stat().st_mtime_ns
            )
    regions = _regions(task, content, section)
    if regions is not None:
        content = replace(content, recipe=replace(content.recipe, regions=regions))
    return evaluate(section, content, reference)


def _found(task: Task, content: RecipeFile) -> dict[str, Any]:
    study = studied(task, content)
    findings = findings_of(study)
    section = findings.section
    adata = annotate(findings)
    Path(task.output).mkdir(parents=True, exist_ok=True)
    write_h5ad(adata, task.section_file)
    reports: dict[str, Any] = {}
    for analysis, result in findings.analyses:
        reports[analysis.name] = analysis.describe(result)
    found: dict[str, Any] = {
        "n_spots": section.n_spots,
        "n_genes": int(section.adata.n_vars),
        "analyses": reports,
        "output": str(task.section_file),
    }
    composition = study.composition
    if composition is not None:
        found["converged"] = composition.converged
        found["residual"] = composition.residual
        found["means"] = _means(composition, study)
    return found


def _means(composition: Any, study: Study) -> list[dict[str, Any]]:
    """Return the mean of each type over all spots, and over those of each region.

    In a list, for a region may be called "all spots" too: all spots come first.
    """
    shares, labels = composition.proportions, study.region_labels
    valued = ~np.isnan(shares[:, 0])
    places = [("all spots", valued)]
    for code, region in enumerate(study.regions.classes):
        places.append((region.name, valued & (labels == code)))
    return [
        {
            "region": place,
            "n_spots": int(spots.sum()),
            "means": dict(
                zip(composition.types, map(float, shares[spots].mean(axis=0)), strict=True)
            )
            if spots.any()
            else {},
        }
        for place, spots in places
    ]


@lru_cache(maxsize=2)
def _read_reference(
    path: str, cell_type: str | None, counts: str | None, changed: int
) -> Reference:
    """Read a reference once in a process, as long as its file is the same."""
    return read_reference(path, cell_type, counts=counts)


def _reference_path(task: Task, content: RecipeFile) -> Path | None:
    if task.reference is not None:
        return Path(task.reference)
    name = content.run.reference
    return None if name is None else Path(task.recipe_folder) / Path(name).expanduser()


def _regions_path(task: Task, content: RecipeFile) -> Path | None:
    if task.regions is not None:
        return Path(task.regions)
    name = content.run.regions_file
    return None if name is None else Path(task.recipe_folder) / Path(name).expanduser()


def _regions(task: Task, content: RecipeFile, section: Section) -> Regions | None:
    """Return the regions of a section; None for those of the recipe."""
    path, column = _regions_path(task, content), content.run.regions_column
    if path is not None:
        regions = Regions()
        polygons = read_regions_geojson(path)
        names = list(dict.fromkeys(polygon.name for polygon in polygons))
        for name, colour in zip(names, _colours(len(names)), strict=True):
            regions = regions.with_class(RegionClass(name, colour))
        return regions.with_shapes(
            RegionShape.around(polygon.name, polygon.geometry) for polygon in polygons
        )
    if column is None:
        known = content.recipe.regions.n_spots
        if known not in (None, section.n_spots):
            raise InputError(
                f"The regions of the recipe are of {known:,} spots, and this section has "
                f"{section.n_spots:,}",
                where="recipe, regions",
                remedy="Name a column of obs as run.regions_column, or give regions as GeoJSON",
            )
        return None
    if column not in section.adata.obs:
        raise InputError(
            f'The spots have no column "{column}"',
            where=f"{section.name}, obs",
            remedy="Choose one that holds regions as run.regions_column",
        )
    values = section.adata.obs[column]
    return regions_from_column(values, _colours(max(int(values.nunique()), 1)))


def _colours(number: int) -> list[tuple[float, float, float]]:
    return [(float(r), float(g), float(b)) for r, g, b, _ in categorical_palette(number)]


def _signature(task: Task, content: RecipeFile) -> str:
    """Return a text that changes with whatever results depend on."""
    files = [Path(task.path), _regions_path(task, content)]
    if "deconvolution" in content.run.analyses:
        files.append(_reference_path(task, content))
    state = {
        "version": napari_smoother.__version__,
        "recipe": to_plain(content),
        "task": asdict(replace(task, recipe="", output="", recipe_folder="")),
        "files": [_state_of(path) for path in files if path is not None],
    }
    return hashlib.blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()


def _state_of(path: Path) -> list[Any]:
    """Return names, sizes and times of change of a file, or of all files in a folder."""
    if not path.exists():
        raise InputError("There is no such file", where=str(path), remedy="Check its name")
    files = (
        [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    )
    return [[str(each), each.stat().st_size, each.stat().st_mtime_ns] for each in files]


def _report_before(task: Task) -> dict[str, Any] | None:
    """Return the report of the same task that was done before, if its results are still there."""
    try:
        before: Any = json.loads(task.report_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    done = isinstance(before, dict) and before.get("status") == "done"
    return before if done and task.section_file.is_file() else None


def _write_report(task: Task, report: dict[str, Any]) -> None:
    Path(task.output).mkdir(parents=True, exist_ok=True)
    with replacing(task.report_file) as temporary:
        temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
