"""Composition beside other methods, on every section of known composition.

Run from the repository: ``python benchmarks/composition_peers.py [--only METHOD ...]``. Other
methods run as subprocesses of an environment that has them (rctd-py, cell2location with
pyro-ppl 1.9.0, flashdeconv, smoother-omics); each answer is kept in
benchmarks/composition_peers.json as soon as it is there, and what is kept is not done again
unless ``--again``. ``peers_section`` is the last part of docs/accuracy.md, written here too.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from known_sections import KnownSection, known_sections

import napari_smoother as ns

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "composition_peers.json"
REPORT = ROOT / "docs" / "accuracy.md"
OURS = "ours"
LABELS = {
    OURS: "napari-smoother",
    "nnls": "plain NNLS",
    "smoother_counts": "smoother-omics NNLS, counts",
    "smoother_log": "smoother-omics NNLS, log1p",
    "flashdeconv": "FlashDeconv",
    "rctd_full": "RCTD, full",
    "rctd_multi": "RCTD, multi",
    "cell2location": "cell2location, few epochs",
}
COUNTS_CELLS = {"cell2location"}
"""Methods whose answer is a number of cells; the others' is a share of RNA."""
SUBSETS = {
    "cell2location": (
        "STARmap, table",
        "STARmap, cells",
        "STARmap halves, x-",
        "STARmap halves, y+",
        "osmFISH halves, x-",
        "osmFISH halves, y+",
        "lymph node cells drawn, 30 a type",
        "lymph node cells drawn, 30 a type, other platform",
    )
}
LIMIT = 3000


def ours(section: KnownSection) -> tuple[pd.DataFrame, dict[str, Any]]:
    """By defaults alone; shares of RNA are asked for where the truth counts RNA."""
    busy, seconds = np.inf, np.inf
    for _ in range(2):
        adata = ad.AnnData(section.counts.copy(), var=section.var.copy())
        adata.obsm["spatial"] = section.positions
        cells = section.reference if section.cells is None else section.cells
        began, ticked = time.perf_counter(), time.process_time()
        shares = "cells" if section.of_cells else "rna"
        ns.deconvolve(adata, cells, cell_type="type", shares=shares, key_added=OURS)
        seconds = min(seconds, time.perf_counter() - began)
        busy = min(busy, time.process_time() - ticked)
    found = adata.obsm[OURS]
    facts = {"seconds": seconds, "processor_seconds": busy, "version": version("napari-smoother")}
    return found, facts


def peer(
    method: str, section: KnownSection, python: list[str]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One other method in its environment, by files in a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spots = ad.AnnData(
            section.counts.astype(np.float32), var=pd.DataFrame(index=section.var.index)
        )
        spots.obs_names = [f"spot {i}" for i in range(spots.n_obs)]
        spots.obsm["spatial"] = section.positions
        spots.write_h5ad(folder / "spots.h5ad")
        known = section.reference
        table = pd.DataFrame(known.mean_counts, index=known.genes, columns=list(known.types))
        table.to_csv(folder / "signature.csv")
        np.savetxt(folder / "totals.txt", known.cell_totals)
        if section.cells is not None:
            kept = section.cells.obs["type"].isin(known.types).to_numpy()
            cells = section.cells[kept]
            ad.AnnData(
                cells.X.astype(np.float32),
                obs=cells.obs[["type"]].astype(str),
                var=pd.DataFrame(index=cells.var_names),
            ).write_h5ad(folder / "cells.h5ad")
        tables = os.environ.get(
            "RCTD_Q_MATRICES", str(Path(python[-1]).parents[1] / "q_matrices.npz")
        )
        environment = {**os.environ, "RCTD_Q_MATRICES": tables}
        environment.pop("PYTHONPATH", None)
        ran = subprocess.run(
            [*python, str(HERE / "composition_peer.py"), method, name],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        if ran.returncode != 0:
            raise RuntimeError((ran.stderr.strip().splitlines() or ["no message"])[-1][:300])
        found = pd.read_csv(folder / "found.csv", index_col=0, keep_default_na=False)
        facts = json.loads((folder / "fit.json").read_text())
    return found, facts


def scores(
    section: KnownSection, found: pd.DataFrame, *, divided_by: np.ndarray | None
) -> dict[str, float]:
    """Error and correlation over spots with a known truth and types in reference and truth."""
    known_types = list(section.reference.types)
    abundance = found.reindex(columns=known_types, fill_value=0.0).to_numpy(dtype=float)
    if divided_by is not None:
        abundance = abundance / divided_by
    total = abundance.sum(axis=1, keepdims=True)
    shares = np.divide(abundance, total, out=np.zeros_like(abundance), where=total > 0)
    columns = [name for name in known_types if name in section.truth]
    truth = section.truth[columns].to_numpy(dtype=float)
    known = truth.sum(axis=1) > 0
    truth = truth[known] / truth[known].sum(axis=1, keepdims=True)
    shares = shares[known][:, [known_types.index(name) for name in columns]]
    return {
        "error": float(np.sqrt(((shares - truth) ** 2).mean())),
        "correlation": float(np.corrcoef(shares.ravel(), truth.ravel())[0, 1]),
        "without_answer": int((total[known] == 0).sum()),
    }


def judged(method: str, section: KnownSection, found: pd.DataFrame) -> dict[str, Any]:
    """Scores as what the truth counts, and as the method has its answer."""
    totals = section.reference.cell_totals
    plain = scores(section, found, divided_by=None)
    if method == OURS or (method in COUNTS_CELLS) == section.of_cells:
        return {**plain, "error_as_given": plain["error"]}
    factor = totals if section.of_cells else 1 / totals
    return {**scores(section, found, divided_by=factor), "error_as_given": plain["error"]}


def peers_section(path: Path = RESULTS) -> list[str]:
    """Lines of Markdown; every number comes from the file."""
    kept = json.loads(path.read_text())
    results = kept["sections"]
    methods = [m for m in LABELS if any("error" in r.get(m, {}) for r in results.values())]

    def value(section: str, method: str, key: str) -> float:
        return float(results[section].get(method, {}).get(key, np.nan))

    def ratio(method: str, key: str = "error") -> tuple[float, int]:
        logs = np.array(
            [
                np.log(value(s, OURS, "error") / value(s, method, key))
                for s in results
                if np.isfinite(value(s, method, key))
            ]
        )
        return float(np.exp(logs.mean())), logs.size

    def rows(key: str, digits: str) -> list[str]:
        return [
            "| section | " + " | ".join(LABELS[m] for m in methods) + " |",
            "|" + "-|" * (len(methods) + 1),
            *(
                f"| {s} | "
                + " | ".join(
                    "–" if np.isnan(value(s, m, key)) else format(value(s, m, key), digits)
                    for m in methods
                )
                + " |"
                for s in results
            ),
            "",
        ]

    lines = [
        "## Peers",
        "",
        "Written by `benchmarks/composition_peers.py`. Every method gets the same raw counts, the "
        "same reference cells and what its documentation says; ours are the defaults of "
        "`ns.deconvolve`. Where the truth counts cells, shares of RNA are divided by the mean "
        "total of a cell of each type for every method alike, and numbers of cells are turned "
        "into RNA where the truth counts RNA; *as it is* has the peer's answer as it comes. "
        f"{REMARKS}",
        "",
        "| method | version | sections | our error / its error | as it is | "
        "sections where it is better | its processor time / ours |",
        "|-|-|-|-|-|-|-|",
    ]
    worse: dict[str, list[str]] = {}
    for method in methods:
        if method == OURS:
            continue
        mine, n_sections = ratio(method)
        as_given, _ = ratio(method, "error_as_given")
        better = [s for s in results if value(s, method, "error") < value(s, OURS, "error")]
        for name in better:
            worse.setdefault(name, []).append(method)
        slower = np.exp(
            np.nanmean(
                [
                    np.log(
                        value(s, method, "processor_seconds") / value(s, OURS, "processor_seconds")
                    )
                    for s in results
                ]
            )
        )
        used = next(
            r[method]["version"] for r in results.values() if "version" in r.get(method, {})
        )
        lines.append(
            f"| {LABELS[method]} | {used} | {n_sections} | {mine:.3f} | {as_given:.3f} | "
            f"{len(better)} | {slower:,.1f} |"
        )
    lines += [
        "",
        "Ratios are geometric means; below 1 is less error here.",
        "",
        "### Where we lose",
        "",
    ]
    for name, methods_better in worse.items():
        best = min(methods_better, key=lambda m: value(name, m, "error"))
        more = 100 * (value(name, OURS, "error") / value(name, best, "error") - 1)
        others = [LABELS[m] for m in methods_better if m != best]
        lines.append(
            f"- {name}: {LABELS[best]} has {value(name, best, 'error'):.4f}, we have "
            f"{value(name, OURS, 'error'):.4f} ({more:.1f} % more)"
            + (f"; also better: {', '.join(others)}." if others else ".")
        )
    if not worse:
        lines.append("On none of these sections does another method have less error.")
    failures = [
        f"- {LABELS[m]}, {s}: {r[m]['failed']}"
        for s, r in results.items()
        for m in LABELS
        if "failed" in r.get(m, {})
    ]
    lines += ["", "### Error", "", *rows("error", ".4f")]
    lines += ["### Correlation", "", *rows("correlation", ".3f")]
    lines += ["### Processor seconds", "", *rows("processor_seconds", ".2f")]
    if failures:
        lines += ["### What did not run", "", *failures, ""]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, nargs="?", default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", nargs="+", choices=LABELS, default=list(LABELS))
    parser.add_argument("--sections", nargs="+", help="sections whose name holds one of these")
    parser.add_argument("--again", action="store_true", help="do what is kept once more")
    parser.add_argument(
        "--python",
        type=shlex.split,
        default=[str(ROOT / ".venv-benchmarks-peers" / "bin" / "python")],
        help="Python of the other methods, after a command that starts it where one is wanted",
    )
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    kept: dict[str, Any] = {"about": {}, "sections": {}}
    if RESULTS.exists():
        kept = json.loads(RESULTS.read_text())
    kept["about"] = {
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
    }
    sections = known_sections(arguments.data)
    kept["sections"] = {s.name: kept["sections"].get(s.name, {}) for s in sections}
    for method in arguments.only:
        for section in sections:
            if section.name not in SUBSETS.get(method, (section.name,)):
                continue
            if arguments.sections and not any(part in section.name for part in arguments.sections):
                continue
            if "error" in kept["sections"][section.name].get(method, {}) and not arguments.again:
                continue
            try:
                found, facts = (
                    ours(section) if method == OURS else peer(method, section, arguments.python)
                )
                result = {**judged(method, section, found), **facts}
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                result = {"failed": str(error).splitlines()[0][:300]}
            if RESULTS.exists():
                kept["sections"] |= json.loads(RESULTS.read_text())["sections"]
            kept["sections"][section.name][method] = result
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            print(section.name, method, result.get("error", result), flush=True)
    report = REPORT.read_text(encoding="utf-8").split("\n## Peers")[0].rstrip()
    lines = "\n".join(peers_section()).rstrip()
    REPORT.write_text(f"{report}\n\n{lines}\n", encoding="utf-8")


REMARKS = (
    "RCTD is `rctd-py` with every type and every spot kept (`cell_min`, `UMI_min` and "
    "`counts_MIN` of 1, which drop rare types and poor spots by default), without "
    "`torch.compile`; "
    "its likelihood tables are calculated by its formula, since the file it downloads could not "
    "be had. cell2location gets 3,000 epochs of its 30,000, averages of the cells as signatures, "
    "eight cells a spot and a detection alpha of 20, on a part of the sections. Times are of a "
    "machine that did other work too: read their order of magnitude. A dash is a section on which "
    "a method was not run, or could not be."
)


if __name__ == "__main__":
    main()
