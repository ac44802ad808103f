"""Sections whose composition is known: binned from cells, mixed from cells, or simulated.

Every source gives sections with a reference that comes from other cells of the same kind, except
where the description says so.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex, simulate_tumour
from napari_smoother.sample_data.slide import visium_lattice

if TYPE_CHECKING:
    from pathlib import Path

STARMAP_NAMES = {
    "Astro-1": "Astro",
    "Astro-2": "Astro",
    "Endo": "Endo",
    "HPC": "HPC",
    "Micro": "Micro",
    "Oligo": "Olig",
    "PVALB": "Pvalb",
    "Reln": "Npy",
    "SST": "Sst",
    "Smc": "Smc",
    "VIP": "Vip",
    "eL2/3": "ExcitatoryL2and3",
    "eL4": "ExcitatoryL4",
    "eL5": "ExcitatoryL5",
    "eL6-1": "ExcitatoryL6",
    "eL6-2": "ExcitatoryL6",
}
UNKNOWN = ("NA", "nan", "Excluded")
CELLS_PER_SPOT = 8


@dataclass(frozen=True)
class KnownSection:
    """A section, a reference and the truth, which counts shares of RNA or of cells."""

    name: str
    source: str
    about: str
    counts: sparse.csr_matrix
    var: pd.DataFrame
    positions: np.ndarray
    reference: Reference
    cells: ad.AnnData | None
    """What the reference was made from, types in ``obs["type"]``; None for a table."""
    truth: pd.DataFrame
    of_cells: bool

    def scores(self, shares: np.ndarray) -> tuple[float, float]:
        """Error (root mean square) and correlation of n x K shares, wherever there is a truth."""
        columns = [name for name in self.reference.types if name in self.truth]
        truth = self.truth[columns].to_numpy(dtype=float)
        known = truth.sum(axis=1) > 0
        truth = truth[known] / truth[known].sum(axis=1, keepdims=True)
        # A spot where nothing was found is off by all of its shares.
        places = [self.reference.types.index(name) for name in columns]
        found = np.nan_to_num(shares)[known][:, places]
        error = float(np.sqrt(((found - truth) ** 2).mean()))
        return error, float(np.corrcoef(found.ravel(), truth.ravel())[0, 1])


def known_sections(data: Path) -> list[KnownSection]:
    """All of them, in the order of the tables."""
    cells = {
        "lymph node": labelled(
            next((data / "visium_human_lymph_node").glob("*reference*.h5ad")), "cell_type"
        ),
        "STARmap": labelled(
            data / "starmap_visual_cortex" / "starmap_cells_1020genes.h5ad", "cluster_name"
        ),
        "osmFISH": labelled(
            data / "osmfish_somatosensory_cortex" / "osmfish_cells.h5ad", "ClusterName"
        ),
    }
    return [
        *starmap(data / "starmap_visual_cortex"),
        *halves(cells["STARmap"], 18, "STARmap"),
        *halves(cells["osmFISH"], 30, "osmFISH"),
        *simulated(),
        *(
            mixed(cells[name], name, platform=platform, depth=600 if name == "osmFISH" else 3000)
            for name in cells
            for platform in (0.0, 0.5)
        ),
        *(
            drawn(cells[name], name, platform=platform, per_type=per_type)
            for name in ("lymph node", "STARmap")
            for platform in (0.0, 0.5)
            for per_type in (30, 200)
        ),
    ]


def labelled(path: Path, column: str) -> ad.AnnData:
    """Cells of a file with counts and a known type, in ``obs["type"]``."""
    adata = ad.read_h5ad(path)
    adata.X = sparse.csr_matrix(adata.X, dtype=float)
    adata.obs["type"] = adata.obs[column].astype(str).to_numpy()
    known = ~adata.obs["type"].isin(UNKNOWN).to_numpy()
    return adata[known & (np.asarray(adata.X.sum(axis=1)).ravel() > 0)].copy()


def reference_of(cells: ad.AnnData, name: str) -> Reference:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*left out cell types", UserWarning)
        return Reference.from_cells(cells, "type", name)


def starmap(folder: Path) -> list[KnownSection]:
    """Published pseudo-spots, with the published table and with the cells as a reference."""
    spots = ad.read_h5ad(folder / "starmap_spots_ground_truth.h5ad")
    table = pd.read_csv(folder / "starmap_signature_from_same_cells_GPL3.csv", index_col=0)
    cells = ad.read_h5ad(folder / "starmap_cells_1020genes.h5ad")
    cells.obs["type"] = cells.obs["cluster_name"].astype(str).map(STARMAP_NAMES)
    by_table = KnownSection(
        "STARmap, table",
        "STARmap",
        "pseudo-spots binned from the mouse visual cortex; reference: the signature table of the "
        "same cells",
        spots.X.tocsr(),
        spots.var,
        np.asarray(spots.obsm["spatial"], dtype=float),
        Reference.from_table(table, "table"),
        None,
        spots.obsm["proportions"],
        of_cells=True,
    )
    by_cells = replace(
        by_table,
        name="STARmap, cells",
        about="pseudo-spots binned from the mouse visual cortex; reference: the very same cells, "
        "their names matched",
        reference=Reference.from_cells(cells, "type", "cells"),
        cells=cells[cells.obs["type"].notna()].copy(),
    )
    return [by_table, by_cells]


def halves(adata: ad.AnnData, bins: int, tissue: str) -> list[KnownSection]:
    """Spots binned from one half of a tissue, the reference from the cells of the other."""
    labels = adata.obs["type"].to_numpy()
    positions = np.asarray(adata.obsm["spatial"], dtype=float)
    sections = []
    for axis, upper in itertools.product((0, 1), (False, True)):
        there = (positions[:, axis] < np.median(positions[:, axis])) == upper
        cells = ad.AnnData(
            adata.X[there],
            obs=pd.DataFrame({"type": labels[there]}, index=np.flatnonzero(there).astype(str)),
            var=pd.DataFrame(index=adata.var_names),
        )
        reference = reference_of(cells, tissue)
        here = positions[~there]
        size = np.ptp(here, axis=0).max() / bins
        _, bin_of = np.unique(
            np.floor((here - here.min(axis=0)) / size), axis=0, return_inverse=True
        )
        bin_of = bin_of.ravel()
        members = sparse.csr_matrix((np.ones(bin_of.size), (bin_of, np.arange(bin_of.size))))
        truth = pd.crosstab(bin_of, labels[~there]).reindex(
            index=range(members.shape[0]), columns=list(reference.types), fill_value=0
        )
        kept = (np.asarray(members.sum(axis=1)).ravel() >= 3) & (truth.sum(axis=1) > 0).to_numpy()
        centres = members @ here / members.sum(axis=1)
        sections.append(
            KnownSection(
                f"{tissue} halves, {'xy'[axis]}{'+' if upper else '-'}",
                tissue,
                f"spots binned from one half ({'xy'[axis]} "
                f"{'above' if upper else 'below'} the median), reference from the other half",
                (members @ adata.X[~there])[kept],
                pd.DataFrame(index=adata.var_names),
                np.asarray(centres)[kept],
                reference,
                cells,
                truth[kept].div(truth[kept].sum(axis=1), axis=0),
                of_cells=True,
            )
        )
    return sections


def simulated() -> list[KnownSection]:
    """The package's own simulated sections: genes independent within a type."""
    sections = []
    for simulate in (simulate_cortex, simulate_tumour):
        sample = simulate(rows=48)
        adata = sample.section.adata
        cells = sample.reference.copy()
        cells.obs["type"] = cells.obs["cell_type"].astype(str)
        sections.append(
            KnownSection(
                f"simulated {simulate.__name__.removeprefix('simulate_')}",
                "simulated",
                "simulated Visium section; reference: single cells of another platform",
                adata.X.tocsr(),
                adata.var,
                sample.section.positions,
                reference_of(cells, "simulated"),
                cells,
                sample.proportions,
                of_cells=False,
            )
        )
    return sections


def mixed(
    adata: ad.AnnData, source: str, *, platform: float, depth: float, n_genes: int = 2000
) -> KnownSection:
    """Spots of a few real cells each, the reference from cells that are in none of them.

    Cells of each type are split at random. Types follow smooth fields on a hexagonal lattice.
    Platform is the standard deviation of log factors on the genes.
    """
    random = np.random.default_rng(2)
    labels = adata.obs["type"].to_numpy()
    frequent = pd.Series(labels).value_counts()
    usable = np.isin(labels, frequent.index[frequent >= 10])
    counts, labels = adata.X[usable], labels[usable]
    in_reference = np.zeros(len(labels), dtype=bool)
    types = np.unique(labels)
    for name in types:
        members = random.permutation(np.flatnonzero(labels == name))
        in_reference[members[: len(members) // 2]] = True
    cells = ad.AnnData(
        counts[in_reference],
        obs=pd.DataFrame(
            {"type": labels[in_reference]}, index=np.flatnonzero(in_reference).astype(str)
        ),
        var=pd.DataFrame(index=adata.var_names),
    )
    genes = _frequent_genes(counts, n_genes)
    positions = visium_lattice(32, 32).positions
    spot, code = _types_of_spots(positions, len(types), random)
    pools = [np.flatnonzero(~in_reference & (labels == name)) for name in types]
    chosen = np.array([random.choice(pools[k]) for k in code])
    pure = _add_up(spot, counts[chosen][:, genes].toarray())
    return KnownSection(
        f"{source} cells mixed{', other platform' if platform else ''}",
        source,
        f"spots of about {CELLS_PER_SPOT} real cells on smooth fields; reference: other cells"
        + (f"; genes of the spots times log-normal factors, sd {platform:g}" if platform else ""),
        _counted(pure, platform, depth, random),
        pd.DataFrame(index=adata.var_names[genes]),
        positions,
        reference_of(cells, source),
        cells,
        _shares(spot, code, types),
        of_cells=True,
    )


def drawn(
    adata: ad.AnnData,
    source: str,
    *,
    platform: float,
    per_type: int,
    n_genes: int = 800,
    rank: int = 8,
) -> KnownSection:
    """Spots and reference of cells drawn from log-normal factors like those of real cells.

    Real references have more cells than the files at hand: here as many as wanted, with genes
    that go together within a type as they do in the real cells (the leading factors of their
    residuals above what sampling alone gives).
    """
    random = np.random.default_rng(3)
    labels = adata.obs["type"].to_numpy()
    frequent = pd.Series(labels).value_counts()
    usable = np.isin(labels, frequent.index[frequent >= 10])
    labels = labels[usable]
    genes = _frequent_genes(adata.X[usable], n_genes)
    counts = adata.X[usable][:, genes]
    totals = np.asarray(counts.sum(axis=1)).ravel()
    counts, labels, totals = counts[totals > 0], labels[totals > 0], totals[totals > 0]
    types, code = np.unique(labels, return_inverse=True)
    share = counts.multiply(1e4 / totals[:, None]).toarray()
    means = np.stack([share[code == k].mean(axis=0) for k in range(len(types))])
    level = 0.7 * means + 0.3 * means.mean(axis=0) + 1e-3
    spread = np.sqrt(level[code] * 1e4 / totals[:, None] + 0.3 * level[code] ** 2)
    _, singular, right = np.linalg.svd((share - means[code]) / spread, full_matrices=False)
    n_free = len(labels) - len(types)
    by_chance = (1 + np.sqrt(len(genes) / n_free)) ** 2
    strength = np.maximum(singular[:rank] ** 2 / n_free - by_chance, 0)
    factors = 0.55 * right[:rank].T * np.sqrt(strength)
    log_total = np.array([np.log(totals[code == k]).mean() for k in range(len(types))])

    def expression(of: np.ndarray) -> np.ndarray:
        together = random.normal(size=(len(of), rank)) @ factors.T
        alone = random.normal(0, 0.35, (len(of), len(genes)))
        mean = level[of] * np.exp(np.clip(together + alone, -3, 3))
        total = np.exp(log_total[of] + random.normal(0, 0.35, len(of)))
        return mean * (total / mean.sum(axis=1))[:, None]

    names = pd.DataFrame(index=adata.var_names[genes])
    of_reference = np.repeat(np.arange(len(types)), per_type)
    cells = ad.AnnData(
        sparse.csr_matrix(random.poisson(expression(of_reference)).astype(float)),
        obs=pd.DataFrame(
            {"type": types[of_reference]}, index=np.arange(len(of_reference)).astype(str)
        ),
        var=names,
    )
    positions = visium_lattice(32, 32).positions
    spot, of_cell = _types_of_spots(positions, len(types), random)
    pure = _add_up(spot, expression(of_cell))
    return KnownSection(
        f"{source} cells drawn, {per_type} a type{', other platform' if platform else ''}",
        f"{source}, drawn",
        f"spots and {per_type} reference cells a type drawn from factors of real cells"
        + (f"; genes of the spots times log-normal factors, sd {platform:g}" if platform else ""),
        _counted(pure, platform, 3000, random),
        names,
        positions,
        reference_of(cells, source),
        cells,
        _shares(spot, of_cell, types),
        of_cells=True,
    )


def _frequent_genes(counts: sparse.csr_matrix, n_genes: int) -> np.ndarray:
    mean = np.asarray(counts.mean(axis=0)).ravel()
    return np.sort(np.argsort(-mean, kind="stable")[:n_genes])


def _types_of_spots(
    positions: np.ndarray, n_types: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Spot and type of every cell: types drawn from smooth random fields."""
    unit = (positions - positions.min(axis=0)) / np.ptp(positions, axis=0).max()
    field = np.zeros((len(positions), n_types))
    for k in range(n_types):
        for _ in range(12):
            field[:, k] += np.cos(unit @ random.normal(0, 6, 2) + random.uniform(0, 2 * np.pi))
    chance = np.exp(field - field.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    n_cells = 1 + random.poisson(CELLS_PER_SPOT - 1, len(positions))
    code = [random.choice(n_types, n, p=p) for n, p in zip(n_cells, chance, strict=True)]
    return np.repeat(np.arange(len(positions)), n_cells), np.concatenate(code)


def _add_up(spot: np.ndarray, expression: np.ndarray) -> np.ndarray:
    return sparse.csr_matrix((np.ones(spot.size), (spot, np.arange(spot.size)))) @ expression


def _shares(spot: np.ndarray, code: np.ndarray, types: np.ndarray) -> pd.DataFrame:
    shares = np.zeros((spot.max() + 1, len(types)))
    np.add.at(shares, (spot, code), 1)
    return pd.DataFrame(shares / shares.sum(axis=1, keepdims=True), columns=list(types))


def _counted(
    expression: np.ndarray, platform: float, depth: float, random: np.random.Generator
) -> sparse.csr_matrix:
    """Poisson counts of median `depth` after gene factors of the platform."""
    on_platform = expression * random.lognormal(0, platform, expression.shape[1])
    totals = on_platform.sum(axis=1)
    scale = depth / np.median(totals) * random.lognormal(0, 0.3, len(totals))
    return sparse.csr_matrix(random.poisson(on_platform * scale[:, None]).astype(float))
