"""The commands *run* and *validate*."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_smoother.analyses.recipe_file import RecipeFile, RunSettings
    from napari_smoother.batch.run import Progress
    from napari_smoother.batch.samples import Sample
    from napari_smoother.batch.task import Task

TABLE = "samples.csv"
"""Name of the table of all sections, in the output folder."""


def run(arguments: Sequence[str]) -> int:
    """Run a recipe over sections.

    Returns
    -------
    int
        0 when every section is done; 1 when some failed; 2 when nothing could be begun.
    """
    parser = argparse.ArgumentParser(
        prog="napari-smoother run",
        description="Run a recipe over one section or many; what is done and unchanged is left.",
    )
    parser.add_argument("recipe", metavar="RECIPE.toml", type=Path)
    parser.add_argument(
        "sections",
        metavar="SECTION",
        nargs="*",
        type=Path,
        help=".h5ad files, output folders of Space Ranger, or folders of these",
    )
    parser.add_argument(
        "--samplesheet",
        metavar="CSV",
        type=Path,
        help="sections with the columns sample,path[,reference][,regions][,library]",
    )
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("smoother_results"))
    parser.add_argument("--reference", metavar="FILE", type=Path, help="for every section")
    parser.add_argument("--cell-type", metavar="COLUMN", help="of the reference")
    parser.add_argument(
        "--choose-jointly",
        action="store_true",
        help="choose one rho and lambda for all sections, by held-out genes",
    )
    parser.add_argument(
        "--workers", metavar="N", type=int, default=1, help="sections at a time on this machine"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster: tcp://host:8786"
    )
    parser.add_argument("--scheduler-file", metavar="FILE", help="that a Dask scheduler wrote")
    parser.add_argument(
        "--dask", action="store_true", help="on the Dask cluster of Dask's own configuration"
    )
    parser.add_argument("--json", action="store_true", help="write all reports to standard output")
    chosen = parser.parse_args(arguments)
    try:
        reports = _run(chosen)
    except InputError as refused:
        print(f"napari-smoother: {refused}", file=sys.stderr)
        return 2
    if chosen.json:
        json.dump(reports, sys.stdout, indent=1)
        print()
    return int(any(report["status"] == "failed" for report in reports))


def validate(arguments: Sequence[str]) -> int:
    """Check a recipe, and whether sections can be opened with it.

    Returns
    -------
    int
        0 when nothing is wrong, else 2.
    """
    parser = argparse.ArgumentParser(
        prog="napari-smoother validate",
        description="Check a recipe, and that sections and reference are there and can be read.",
    )
    parser.add_argument("recipe", metavar="RECIPE.toml", type=Path)
    parser.add_argument("sections", metavar="SECTION", nargs="*", type=Path)
    parser.add_argument("--samplesheet", metavar="CSV", type=Path)
    chosen = parser.parse_args(arguments)
    wrong = 0
    try:
        content = read_recipe(chosen.recipe)
        print(f"{chosen.recipe}: {', '.join(content.run.analyses) or 'the graph'}")
        if content.run.reference is not None:
            _check_reference(chosen.recipe.parent / Path(content.run.reference), content.run)
        samples = _samples(chosen)
        for path in dict.fromkeys(s.reference for s in samples if s.reference is not None):
            _check_reference(path, content.run)
        for path in dict.fromkeys(s.regions for s in samples if s.regions is not None):
            _check_regions(path)
    except InputError as refused:
        print(f"napari-smoother: {refused}", file=sys.stderr)
        return 2
    for sample in samples:
        wrong += _check(sample, content.run.counts)
    return 2 if wrong else 0


def read_recipe(path: Path) -> RecipeFile:
    """Read a recipe file.

    Raises
    ------
    InputError
        If there is none, or it cannot be used: with line and key.
    """
    from napari_smoother.analyses.recipe_file import from_toml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(
            f"The recipe cannot be read: {fault}", where=str(path), remedy="Choose a TOML file"
        ) from fault
    return from_toml(text, str(path))


def _run(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    from napari_smoother.analyses.recipe_file import to_toml
    from napari_smoother.batch.run import Cluster, run_here, run_on_cluster
    from napari_smoother.batch.table import write_table
    from napari_smoother.batch.task import Task

    content = read_recipe(chosen.recipe)
    samples = _samples(chosen)
    if not samples:
        raise InputError(
            "There is no section to run the recipe over",
            where="run",
            remedy="Name sections, a folder of them, or a samplesheet",
        )
    if chosen.workers < 1:
        raise InputError("There has to be a worker", where="--workers", remedy="Give at least 1")

    def task_of(sample: Sample, recipe: str) -> Task:
        reference = sample.reference or chosen.reference
        return Task(
            sample=sample.name,
            path=str(sample.path.absolute()),
            recipe=recipe,
            recipe_folder=str(chosen.recipe.absolute().parent),
            output=str(chosen.output.absolute()),
            library=sample.library,
            reference=None if reference is None else str(reference.absolute()),
            cell_type=chosen.cell_type,
            regions=None if sample.regions is None else str(sample.regions.absolute()),
        )

    recipe = to_toml(content)
    tasks = [task_of(sample, recipe) for sample in samples]
    _keep_inputs(tasks, chosen, content)
    if chosen.choose_jointly:
        from napari_smoother.batch.joint_choice import choose_jointly

        content = choose_jointly(tasks, content)
        tasks = [replace(task, recipe=to_toml(content)) for task in tasks]
        settings = content.recipe.deconvolution
        _tell(
            f"chosen over {len(tasks)} sections: rho {settings.rho:g}, lambda {settings.lambda_:g}"
        )
    try:
        chosen.output.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise InputError(
            f"The folder cannot be made: {fault}",
            where=f"--output {chosen.output}",
            remedy="Choose another one",
        ) from fault
    if chosen.dask or chosen.scheduler or chosen.scheduler_file:
        cluster = Cluster(chosen.scheduler, chosen.scheduler_file)
        reports = run_on_cluster(tasks, _tell_progress, cluster)
    else:
        reports = run_here(tasks, _tell_progress, workers=chosen.workers)
    write_table(reports, chosen.output / TABLE)
    failed = sum(report["status"] == "failed" for report in reports)
    _tell(
        f"{len(reports) - failed} of {len(reports)} sections in {chosen.output}, "
        f"one table in {chosen.output / TABLE}"
    )
    return reports


def _samples(chosen: argparse.Namespace) -> list[Sample]:
    from napari_smoother.batch.samples import find_samples, read_samplesheet, with_own_names

    samples = [] if chosen.samplesheet is None else read_samplesheet(chosen.samplesheet)
    return with_own_names([*samples, *find_samples(chosen.sections)])


def _keep_inputs(tasks: Sequence[Task], chosen: argparse.Namespace, content: RecipeFile) -> None:
    """Refuse an output folder in which results would take the place of what they come from."""
    named = [chosen.recipe, chosen.samplesheet, chosen.reference]
    named += [file for task in tasks for file in (task.path, task.reference, task.regions)]
    named += [
        chosen.recipe.parent / Path(name).expanduser()
        for name in (content.run.reference, content.run.regions_file)
        if name is not None
    ]
    inputs = {Path(file).resolve() for file in named if file is not None}
    written = [file for task in tasks for file in (task.section_file, task.report_file)]
    for file in (*written, chosen.output / TABLE):
        if file.resolve() in inputs:
            raise InputError(
                f"Results would be written over {file}",
                where=f"--output {chosen.output}",
                remedy="Choose a folder for results only",
            )


def _check(sample: Sample, counts: str | None) -> bool:
    """Say what a section is; True where it cannot be opened."""
    from napari_smoother.io.opening import open_section

    try:
        section = open_section(sample.path, library=sample.library, counts=counts)
    except InputError as refused:
        print(f"{sample.name}: {refused}", file=sys.stderr)
        return True
    print(
        f"{sample.name}: {section.n_spots:,} spots, {section.adata.n_vars:,} genes, "
        f"{section.origin.describe()}"
    )
    return False


def _check_reference(path: Path, settings: RunSettings) -> None:
    from napari_smoother.io.reference import read_reference

    reference = read_reference(path, settings.cell_type, counts=settings.reference_counts)
    print(f"{path}: {reference.n_types} cell types, {reference.n_genes:,} genes")


def _check_regions(path: Path) -> None:
    from napari_smoother.io.regions_geojson import read_regions_geojson

    print(f"{path}: {len(read_regions_geojson(path))} areas")


def _tell_progress(progress: Progress) -> None:
    report = progress.report
    text = f"[{progress.done}/{progress.total}] {report['sample']} {report['status']}"
    if report["status"] == "done":
        text += f" in {report['seconds']:.1f} s"
    if report["status"] == "failed":
        text += f": {report['error']}"
    if progress.done < progress.total:
        text += f" · about {_duration(progress.seconds_left)} left"
    _tell(text)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
