"""A cohort on a cluster of Dask: sections an hour over 1, 2 and 4 workers, and a worker killed.

The real sections in ``../shared/data`` and 40 simulated ones, each a task. Sections with cells of
their own tissue are deconvolved; the others get spatial components. The run with a killed worker
has to find the same numbers. Run from the repository: ``python benchmarks/cohort.py [DATA]
[--simulated N] [--workers 1 2 4]``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import LocalCluster

from napari_smoother.analyses.recipe_file import RecipeFile, RunSettings, to_toml
from napari_smoother.batch.run import Cluster, Progress, run_on_cluster
from napari_smoother.batch.task import Task
from napari_smoother.sample_data import simulate_cortex

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
WITH_CELLS = {
    "visium_human_lymph_node/lymph_node_visium_1000spots.h5ad": (
        "visium_human_lymph_node/lymph_node_reference_330cells.h5ad"
    ),
}
WITHOUT_CELLS = (
    "visium_mouse_hippocampus/visium_mouse_brain_dg.h5ad",
    "st_mouse_olfactory_bulb/st_mob1.h5ad",
    "visium_dlpfc_151675/visium_dlpfc_151675.h5ad",
    "visium_dlpfc_151673/visium_dlpfc_151673.h5ad",
    "visium_mouse_placenta",
)


def tasks_of(data: Path, folder: Path, simulated: int) -> list[Task]:
    """Sections of laboratories and simulated ones, with the recipe of each."""
    deconvolved = to_toml(RecipeFile(run=RunSettings()))
    reduced = to_toml(RecipeFile(run=RunSettings(analyses=("reduction",))))
    tasks = []

    def add(name: str, path: Path, recipe: str, reference: Path | None = None) -> None:
        tasks.append(
            Task(
                sample=name,
                path=str(path),
                recipe=recipe,
                recipe_folder=str(folder),
                output="",
                reference=None if reference is None else str(reference),
                cell_type="cell_type" if reference is not None else None,
            )
        )

    for name, cells in WITH_CELLS.items():
        if (data / name).exists():
            add(Path(name).stem, data / name, deconvolved, data / cells)
    for name in WITHOUT_CELLS:
        if (data / name).exists():
            add(Path(name).stem, data / name, reduced)
    print(f"{len(tasks)} of {len(WITH_CELLS) + len(WITHOUT_CELLS)} real sections are there")
    for seed in range(simulated):
        sample = simulate_cortex(rows=40, n_genes=300, seed=seed)
        path = folder / f"simulated-{seed:02}.h5ad"
        sample.section.adata.write_h5ad(path)
        if seed == 0:
            sample.reference.write_h5ad(folder / "cells.h5ad")
        add(path.stem, path, deconvolved, folder / "cells.h5ad")
    return tasks


def run(tasks: list[Task], output: Path, workers: int, kill: bool = False) -> list[dict[str, Any]]:
    """Perform all on so many workers, of which one is killed once a fourth is done."""
    tasks = [replace(task, output=str(output)) for task in tasks]
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        killed: list[int] = []

        def tell(progress: Progress) -> None:
            if kill and not killed and progress.done >= len(tasks) // 4:
                victim = next(iter(cluster.workers.values())).process.pid
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

        began = time.perf_counter()
        reports = run_on_cluster(tasks, tell, Cluster(cluster.scheduler_address))
        seconds = time.perf_counter() - began
    if kill and not killed:
        raise RuntimeError("no worker was killed")
    states = Counter(report["status"] for report in reports)
    print(
        f"{workers} workers{', one killed' if kill else ''}: {dict(states)} in {seconds:.1f} s, "
        f"{3600 * states['done'] / seconds:,.0f} sections an hour",
        flush=True,
    )
    for report in reports:
        if report["status"] == "failed":
            print(f"  {report['sample']}: {report['error']}", flush=True)
    return reports


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=SHARED)
    parser.add_argument("--simulated", type=int, default=40)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = tasks_of(chosen.data, folder, chosen.simulated)
        runs = [run(tasks, folder / str(workers), workers) for workers in chosen.workers]
        runs.append(run(tasks, folder / "killed", max(2, *chosen.workers), kill=True))
    # As JSON, NaN equals itself.
    found = [json.dumps([report.get("means") for report in reports]) for reports in runs]
    same = len(set(found)) == 1
    print(f"means of all runs are {'the same to the bit' if same else 'DIFFERENT'}")
    failed = any(report["status"] == "failed" for reports in runs for report in reports)
    return int(failed or not same)


if __name__ == "__main__":
    sys.exit(main())
