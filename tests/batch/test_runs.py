"""Recipes without a window: alone, over many sections, again, and on a cluster."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import psutil
import pytest

import napari_smoother as ns
from napari_smoother import _core, cli
from napari_smoother.analyses.recipe_file import to_toml
from napari_smoother.analyses.region_columns import regions_from_column
from napari_smoother.batch import run as run_module
from napari_smoother.batch.command import TABLE, read_recipe
from napari_smoother.batch.run import Cluster, run_here, run_on_cluster
from napari_smoother.batch.samples import find_samples, read_samplesheet
from napari_smoother.batch.table import table_of
from napari_smoother.batch.task import Task, evaluate, perform
from napari_smoother.errors import InputError
from napari_smoother.io.opening import open_section
from napari_smoother.io.reference import read_reference
from napari_smoother.study.annotated import annotated
from napari_smoother.study.session_record import SessionRecord
from napari_smoother.study.study import Study

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cohort

pytestmark = pytest.mark.filterwarnings("ignore:Results stand beside")


def tasks_of(cohort: Cohort, output: Path, sections: Any = None) -> list[Task]:
    return [
        Task(
            sample=section.stem,
            path=str(section),
            recipe=cohort.recipe.read_text(encoding="utf-8"),
            recipe_folder=str(cohort.recipe.parent),
            output=str(output),
        )
        for section in (cohort.sections if sections is None else sections)
    ]


def test_run_finds_what_the_window_finds_to_the_bit(cohort: Cohort, tmp_path: Path) -> None:
    section, output = cohort.sections[0], tmp_path / "out"
    (task,) = tasks_of(cohort, output, [section])
    report = perform(task)
    assert report["status"] == "done", report
    study = Study()
    study.open(open_section(section), SessionRecord(cohort.content.recipe))
    colours = [(0.5, 0.5, 0.5)]
    study.regions = regions_from_column(study.section.adata.obs["region"], colours)
    study.set_reference(read_reference(cohort.cells))
    study.update()
    window, ran = annotated(study), anndata.read_h5ad(output / "s0.h5ad")
    script = ns.run_recipe(task.recipe, section, reference=cohort.cells)
    for found in (ran, script):
        for key in ("nnls", "nnls_abundance"):
            pd.testing.assert_frame_equal(found.obsm[key], window.obsm[key], check_exact=True)
        connectivities = found.obsp["spatial_connectivities"]
        assert (connectivities != window.obsp["spatial_connectivities"]).nnz == 0
    means = report["means"][0]["means"]
    np.testing.assert_allclose(list(means.values()), window.obsm["nnls"].mean(), rtol=1e-12)
    regions = [found["region"] for found in report["means"]]
    assert regions[0] == "all spots"
    assert set(regions[1:]) == set(window.obs["region_smoother"].cat.categories)


def test_the_window_opens_what_a_run_has_found(cohort: Cohort, tmp_path: Path) -> None:
    (task,) = tasks_of(cohort, tmp_path / "out", [cohort.sections[0]])
    perform(task)
    study = Study()
    study.open(open_section(task.section_file))
    study.update()
    assert study.composition_analysis.shown.is_kept
    assert study.deconvolution.lambda_ == 0.00183


def test_each_section_fails_or_succeeds_alone_and_is_not_done_again(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    command = ["run", str(cohort.recipe), str(cohort.folder), "--output", str(output), "--json"]
    assert cli.main(command) == 1
    told = capsys.readouterr()
    reports = json.loads(told.out)
    assert [report["status"] for report in reports] == ["done", "failed", "done"]
    assert "truncated" in reports[1]["error"]
    assert "[3/3]" in told.err
    assert "left" in told.err
    table = pd.read_csv(output / TABLE)
    assert list(table["sample"].unique()) == ["s0", "s1", "s2"]
    means = table[[name for name in table if name.startswith("mean ")]]
    np.testing.assert_allclose(means[table["sample"] != "s1"].sum(axis=1), 1, atol=1e-9)
    assert means[table["sample"] == "s1"].isna().all(axis=None)

    written = (output / "s0.h5ad").stat().st_mtime_ns
    adata = anndata.read_h5ad(cohort.sections[2])
    adata[5:].copy().write_h5ad(cohort.sections[2])
    assert cli.main(command) == 1
    reports = json.loads(capsys.readouterr().out)
    assert [report["status"] for report in reports] == ["unchanged", "failed", "done"]
    assert (output / "s0.h5ad").stat().st_mtime_ns == written

    settings = replace(cohort.content.recipe.deconvolution, lambda_=1.0)
    recipe = replace(cohort.content.recipe, deconvolution=settings)
    cohort.recipe.write_text(to_toml(replace(cohort.content, recipe=recipe)), encoding="utf-8")
    assert cli.main(command) == 1
    reports = json.loads(capsys.readouterr().out)
    assert [report["status"] for report in reports] == ["done", "failed", "done"]


def test_a_samplesheet_names_sections_references_and_regions(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "samples.csv"
    sheet.write_text(
        "sample,path,reference\nfirst,sections/s0.h5ad,cells.h5ad\nlast,sections/s2.h5ad,\n"
    )
    samples = read_samplesheet(sheet)
    assert [sample.name for sample in samples] == ["first", "last"]
    assert samples[0].reference == tmp_path / "cells.h5ad"
    output = tmp_path / "out"
    command = ["run", str(cohort.recipe), "--samplesheet", str(sheet), "--output", str(output)]
    assert cli.main([*command, "--workers", "2"]) == 0
    assert {path.name for path in output.iterdir()} == {
        "first.h5ad",
        "first.json",
        "last.h5ad",
        "last.json",
        TABLE,
    }


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("sample,file\na,b\n", "line 1", '"file"'),
        ("sample\na\n", "line 1", '"path" is missing'),
        ("sample,path\na,\n", "line 2", '"path" is empty'),
        ("sample,path\na,cells.h5ad\nb,nothing.h5ad\n", "line 3", "nothing.h5ad"),
        ("sample,path\na,cells.h5ad\na,cells.h5ad\n", "cells.h5ad", "Two sections"),
        ("sample,path\n../a,cells.h5ad\n", "cells.h5ad", "name of a file"),
        ("sample,path\n", "samples.csv", "no section"),
        ("sample,path\n\na,nothing.h5ad\n", "line 3", "nothing.h5ad"),
        ("sample,path\na,cells.h5ad,b\n", "line 2", "more values"),
    ],
)
def test_faults_of_samplesheets_are_told_with_their_line(
    cohort: Cohort, tmp_path: Path, text: str, place: str, told: str
) -> None:
    sheet = tmp_path / "samples.csv"
    sheet.write_text(text)
    with pytest.raises(InputError) as refused:
        read_samplesheet(sheet)
    assert place in refused.value.where
    assert told in str(refused.value)


def test_sections_are_found_in_folders(cohort: Cohort, tmp_path: Path) -> None:
    assert [sample.path for sample in find_samples([cohort.folder])] == list(cohort.sections)
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nothing", cohort.recipe):
        with pytest.raises(InputError):
            find_samples([path])


def test_nothing_is_begun_with_a_recipe_that_is_wrong(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = cohort.recipe.read_text(encoding="utf-8").replace("neighbours = 6", "neighbours = 0")
    cohort.recipe.write_text(text, encoding="utf-8")
    output = tmp_path / "out"
    command = [str(cohort.recipe), str(cohort.folder)]
    assert cli.main(["run", *command, "--output", str(output)]) == 2
    assert "line " in capsys.readouterr().err
    assert not output.exists()
    assert cli.main(["validate", *command]) == 2
    assert "graph.neighbours" in capsys.readouterr().err


def test_validating_opens_everything_and_changes_nothing(
    cohort: Cohort, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["validate", str(cohort.recipe), str(cohort.sections[0])]) == 0
    told = capsys.readouterr().out
    assert "12 cell types" in told
    assert "80 genes" in told
    assert cli.main(["validate", str(cohort.recipe), str(cohort.folder)]) == 2
    assert "s1: " in capsys.readouterr().err


def test_one_lambda_is_chosen_for_all(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    sections = [str(cohort.sections[0]), str(cohort.sections[2])]
    command = ["run", str(cohort.recipe), *sections, "--output", str(output), "--choose-jointly"]
    assert cli.main(command) == 0
    told = capsys.readouterr().err
    assert "chosen over 2 sections" in told
    recipes = [
        anndata.read_h5ad(output / f"{name}.h5ad").uns["smoother"]["nnls"]["recipe"]
        for name in ("s0", "s2")
    ]
    assert recipes[0]["lambda_"] == recipes[1]["lambda_"] != 0.00183


def test_recipes_that_are_missing_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_recipe(tmp_path / "nothing.toml")


def test_a_reference_that_is_missing_is_told(cohort: Cohort, tmp_path: Path) -> None:
    (task,) = tasks_of(cohort, tmp_path / "out", [cohort.sections[0]])
    run = replace(cohort.content.run, reference=None)
    task = replace(task, recipe=to_toml(replace(cohort.content, run=run)))
    report = perform(task)
    assert report["status"] == "failed"
    assert "run.reference" in report["error"]
    assert "traceback" not in report


# On a cluster


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


def test_a_cluster_finds_the_same_although_a_worker_dies(
    cohort: Cohort, cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = [cohort.sections[0], cohort.sections[2]]
    told: list[Any] = []
    here = run_here(tasks_of(cohort, tmp_path / "here", sections), told.append)
    assert [progress.done for progress in told] == [1, 2]
    many = [
        replace(task, sample=f"{task.sample}-{number}")
        for number in range(6)
        for task in tasks_of(cohort, tmp_path / "there", sections)
    ]
    killed: list[int] = []

    def kill_one(progress: Any) -> None:
        if not killed:
            victim = next(iter(cluster.workers.values())).process.pid
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

    there = run_on_cluster(many, kill_one, Cluster(cluster.scheduler_address))
    assert killed
    # One that was written, and its worker killed before it could say so, is found done.
    assert {report["status"] for report in there} <= {"done", "unchanged"}
    assert [report["sample"] for report in there] == [task.sample for task in many]
    for task, report in zip(many, there, strict=True):
        expected = here[0] if task.sample.startswith("s0") else here[1]
        assert report["means"] == expected["means"], "to the bit"
        left = anndata.read_h5ad(task.section_file)
        right = anndata.read_h5ad(tmp_path / "here" / f"{task.sample[:2]}.h5ad")
        pd.testing.assert_frame_equal(left.obsm["nnls"], right.obsm["nnls"], check_exact=True)


def test_a_process_that_is_killed_is_a_failure_of_its_section_only(
    cohort: Cohort, tmp_path: Path
) -> None:
    tasks = tasks_of(cohort, tmp_path / "out", [cohort.sections[0]] * 3)
    tasks = [replace(task, sample=f"{number}") for number, task in enumerate(tasks)]
    others = {child.pid for child in psutil.Process().children(recursive=True)}
    killed: list[int] = []

    def kill_first() -> None:
        while not killed:
            for child in psutil.Process().children(recursive=True):
                try:
                    if child.pid not in others and "spawn_main" in " ".join(child.cmdline()):
                        child.kill()
                        killed.append(child.pid)
                        return
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.01)

    killer = threading.Thread(target=kill_first)
    killer.start()
    reports = run_here(tasks, lambda progress: None)
    killer.join()
    assert [report["status"] for report in reports] == ["failed", "done", "done"]
    assert "process was lost" in reports[0]["error"]


def threads_of_the_core() -> int:
    return _core.thread_count()


def test_processes_have_their_share_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAPARI_SMOOTHER_THREADS", raising=False)
    with (
        run_module._threads_of_processes("1"),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process,
    ):
        assert process.submit(threads_of_the_core).result() == 1
    assert "NAPARI_SMOOTHER_THREADS" not in os.environ


def test_results_are_never_written_over_what_they_come_from(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = cohort.sections[0].read_bytes()
    command = ["run", str(cohort.recipe), str(cohort.sections[0]), "--output"]
    assert cli.main([*command, str(cohort.folder)]) == 2
    assert "written over" in capsys.readouterr().err
    assert cohort.sections[0].read_bytes() == before
    sheet = tmp_path / TABLE
    sheet.write_text("sample,path\nfirst,sections/s0.h5ad\n")
    command = ["run", str(cohort.recipe), "--samplesheet", str(sheet), "--output", str(tmp_path)]
    assert cli.main(command) == 2
    assert "written over" in capsys.readouterr().err
    assert sheet.read_text().startswith("sample,path\n")


def test_a_name_is_of_one_section_in_samplesheet_and_list_together(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("sample,path\ns0,sections/s2.h5ad\n")
    command = ["run", str(cohort.recipe), str(cohort.sections[0]), "--samplesheet", str(sheet)]
    assert cli.main([*command, "--output", str(tmp_path / "out")]) == 2
    assert 'Two sections are called "s0"' in capsys.readouterr().err


def test_a_region_may_be_called_all_spots(cohort: Cohort, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(cohort.sections[0])
    adata.obs["region"] = ["all spots"] * 7 + ["rest"] * (adata.n_obs - 7)
    adata.write_h5ad(cohort.sections[0])
    (task,) = tasks_of(cohort, tmp_path / "out", [cohort.sections[0]])
    table = table_of([perform(task)])
    assert list(table["region"]) == ["all spots", "all spots", "rest"]
    assert list(table["n_spots"]) == [adata.n_obs, 7, adata.n_obs - 7]


def test_counts_are_read_where_the_recipe_says(cohort: Cohort, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(cohort.sections[0])
    adata.layers["turned"] = adata.X[::-1].copy()
    adata.write_h5ad(cohort.sections[0])
    run = replace(cohort.content.run, counts="turned", regions_column=None)
    content = replace(cohort.content, run=run)
    (task,) = tasks_of(cohort, tmp_path / "out", [cohort.sections[0]])
    task = replace(task, recipe=to_toml(content))
    assert perform(task)["status"] == "done"
    found = anndata.read_h5ad(task.section_file).obsm["nnls"].to_numpy()
    reference = read_reference(cohort.cells, None)
    for counts, same in (("turned", True), (None, False)):
        study = evaluate(open_section(cohort.sections[0], counts=counts), content, reference)
        assert np.array_equal(found, study.composition.proportions) == same


def test_an_output_folder_that_cannot_be_made_is_told(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = cohort.recipe / "inside"
    command = ["run", str(cohort.recipe), str(cohort.sections[0]), "--output", str(output)]
    assert cli.main(command) == 2
    assert "cannot be made" in capsys.readouterr().err
    (task,) = tasks_of(cohort, output, [cohort.sections[0]])
    assert "report cannot be written" in perform(task)["error"]


def test_a_cluster_that_is_not_there_is_told(cohort: Cohort, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(InputError, match="cannot be reached"),
    ):
        run_on_cluster(tasks_of(cohort, tmp_path), print, Cluster("tcp://127.0.0.1:9"))


def test_dask_is_told_where_its_cluster_is(cohort: Cohort, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    import dask

    tasks = tasks_of(cohort, tmp_path / "out")
    missing = Cluster(scheduler_file=str(tmp_path / "nothing.json"))
    with pytest.raises(InputError, match="no such file"):
        run_on_cluster(tasks, print, missing)
    with dask.config.set({"scheduler-address": None}), pytest.raises(InputError, match="names no"):
        run_on_cluster(tasks, print, Cluster())
