"""One table of all sections of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def table_of(reports: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return one row a section and region.

    Parameters
    ----------
    reports
        As `napari_smoother.batch.task.perform` returns them.

    Returns
    -------
    pandas.DataFrame
        ``sample``, ``region`` (``"all spots"`` first), ``status``, ``n_spots``, ``seconds``,
        ``converged``, ``residual``, ``error``, and the mean proportion of every cell type found
        in any section.
    """
    rows = []
    for report in reports:
        common = {
            "sample": report["sample"],
            "status": report["status"],
            "seconds": report.get("seconds"),
            "converged": report.get("converged"),
            "residual": report.get("residual"),
            "error": report.get("error", ""),
        }
        whole = {"region": "all spots", "n_spots": report.get("n_spots")}
        for found in report.get("means") or [whole]:
            place = {"region": found["region"], "n_spots": found["n_spots"]}
            means = {f"mean {name}": value for name, value in found.get("means", {}).items()}
            rows.append({**common, **place, **means})
    first = ["sample", "region", "status", "n_spots", "seconds", "converged", "residual", "error"]
    table = pd.DataFrame(rows, columns=None if rows else first)
    others = [name for name in table.columns if name not in first]
    return table[[*first, *others]]


def write_table(reports: Iterable[dict[str, Any]], path: Path) -> None:
    """Write the table as comma-separated values, whole or not at all."""
    from napari_smoother.atomic import replacing

    with replacing(path) as temporary:
        table_of(reports).to_csv(temporary, index=False)
