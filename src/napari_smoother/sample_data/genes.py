"""Names of genes, and which cell types they mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    import numpy as np

CORTEX_MARKERS: dict[str, tuple[str, ...]] = {
    "Excitatory L2-3": ("CUX2", "LAMP5", "CALB1", "HPCAL1", "RASGRF2", "LINC00507", "SERPINE2"),
    "Excitatory L4": ("RORB", "PLCH1", "GABRG1", "COBLL1", "IL1RAPL2", "TSHZ2", "PCSK2"),
    "Excitatory L5": ("PCP4", "FEZF2", "BCL11B", "TRABD2A", "ETV1", "THSD7B", "NEFM"),
    "Excitatory L6": ("NTNG2", "SEMA3E", "FOXP2", "TLE4", "CTGF", "NR4A2", "SYT6"),
    "Inhibitory PVALB": ("PVALB", "TAC1", "SULF1", "ERBB4", "KCNC2", "SLIT2"),
    "Inhibitory SST": ("SST", "NPY", "GRIK1", "TRHDE", "CHODL", "KLHL14"),
    "Inhibitory VIP": ("VIP", "CALB2", "CRH", "TAC3", "CCK", "SYNPR"),
    "Astrocyte": ("GFAP", "AQP4", "SLC1A2", "SLC1A3", "ALDH1L1", "GJA1", "FGFR3", "S100B"),
    "Oligodendrocyte": ("MOBP", "PLP1", "MBP", "MOG", "CNP", "MAG", "CLDN11", "ERMN"),
    "OPC": ("PDGFRA", "CSPG4", "VCAN", "OLIG1", "PCDH15", "LHFPL3"),
    "Microglia": ("CX3CR1", "P2RY12", "CSF1R", "AIF1", "C1QA", "C1QB", "TREM2"),
    "Endothelial": ("CLDN5", "FLT1", "VWF", "PECAM1", "ABCB1", "ITM2A"),
}
"""Marker genes of each cell type of the cortex."""

CORTEX_SHARED: tuple[tuple[tuple[str, ...], str], ...] = (
    (("SNAP25", "SYT1", "RBFOX3", "STMN2", "NRXN1", "THY1"), "Excitatory|Inhibitory"),
    (("SLC17A7", "NRGN", "CAMK2A", "SATB2", "NEUROD6", "ENC1"), "Excitatory"),
    (("GAD1", "GAD2", "SLC32A1", "SLC6A1", "DLX1"), "Inhibitory"),
)
"""Genes marking every type whose name begins so."""

TUMOUR_MARKERS: dict[str, tuple[str, ...]] = {
    "Tumour": ("CEACAM6", "CEACAM5", "MUC1", "ERBB2", "LCN2", "S100A9", "CLDN4", "TACSTD2"),
    "Cycling tumour": ("MKI67", "TOP2A", "CCNB1", "CDK1", "UBE2C", "BIRC5", "PCNA"),
    "Hypoxic tumour": ("CA9", "VEGFA", "NDRG1", "SLC2A1", "ADM", "BNIP3", "HILPDA"),
    "Epithelium": ("FABP1", "CA2", "KRT20", "GUCA2A", "MUC2", "TFF3", "SLC26A3"),
    "CAF": ("COL1A1", "COL3A1", "FAP", "POSTN", "COL11A1", "CTHRC1", "SPARC", "MMP11"),
    "Fibroblast": ("PI16", "CFD", "DPT", "APOD", "MFAP5", "ADH1B"),
    "Pericyte": ("RGS5", "ACTA2", "MYH11", "PDGFRB", "TAGLN", "NOTCH3"),
    "Endothelium": ("PECAM1", "VWF", "CDH5", "KDR", "PLVAP", "EGFL7"),
    "Macrophage": ("CD68", "CD163", "SPP1", "APOE", "C1QA", "C1QB", "MRC1", "MARCO"),
    "T cell": ("CD3D", "CD3E", "CD2", "TRAC", "IL7R", "CD8A", "GZMK", "CCL5"),
    "B cell": ("MS4A1", "CD79A", "CD19", "BANK1", "CXCR5", "PAX5"),
    "Plasma cell": ("JCHAIN", "MZB1", "SDC1", "IGHG1", "IGKC", "XBP1"),
}
"""Marker genes of each cell type of the tumour."""

TUMOUR_SHARED: tuple[tuple[tuple[str, ...], str], ...] = (
    (("EPCAM", "KRT8", "KRT18", "KRT19", "CDH1"), "Tumour|Cycling tumour|Hypoxic|Epithelium"),
    (("PTPRC", "CORO1A", "CD52", "LAPTM5"), "Macrophage|T cell|B cell|Plasma"),
    (("COL1A2", "DCN", "LUM", "VIM"), "CAF|Fibroblast|Pericyte"),
)
"""Genes marking every type whose name begins so."""

FAMILIES: tuple[tuple[str, int, int], ...] = (
    *(("RPL", 3, 41), ("RPS", 2, 29), ("NDUFA", 1, 13), ("NDUFB", 1, 11), ("NDUFS", 1, 8)),
    *(("PSMA", 1, 7), ("PSMB", 1, 10), ("PSMC", 1, 6), ("PSMD", 1, 14), ("SLC25A", 1, 53)),
    *(("TMEM", 9, 270), ("ZNF", 10, 330), ("CCDC", 3, 190), ("TRIM", 2, 77), ("KLHL", 1, 42)),
    *(("DUSP", 1, 28), ("FBXO", 2, 48), ("ARHGAP", 1, 45), ("ARHGEF", 1, 40), ("RAB", 7, 44)),
    *(("WDR", 1, 93), ("ANKRD", 1, 66), ("USP", 1, 54), ("MRPL", 1, 57), ("MRPS", 2, 36)),
    *(("DNAJC", 1, 30), ("ABHD", 1, 18), ("PPP1R", 7, 42), ("TTC", 1, 39), ("LRRC", 1, 75)),
    *(("CEP", 41, 192), ("ATP6V", 1, 3), ("VPS", 4, 54), ("EXOSC", 1, 10), ("MED", 1, 31)),
    *(("KIF", 2, 27), ("SNX", 1, 33), ("PHF", 1, 24), ("ELOVL", 1, 7), ("ACOT", 1, 13)),
)
"""Stem, first and last number of the names that fill up a panel."""


@dataclass(frozen=True, slots=True)
class Panel:
    """The genes of a simulated experiment.

    Parameters
    ----------
    names
        Symbols.
    identifiers
        Ensembl-like; invented, yet the same for a symbol in every panel.
    owners
        For each gene the cell types it marks, as places in the list of types; mostly none.
    """

    names: tuple[str, ...]
    identifiers: tuple[str, ...]
    owners: tuple[tuple[int, ...], ...]


def gene_panel(
    markers: dict[str, tuple[str, ...]],
    shared: tuple[tuple[tuple[str, ...], str], ...],
    n_genes: int,
    rng: np.random.Generator,
) -> Panel:
    """Choose the genes to simulate: markers first, one type after another, then others.

    Parameters
    ----------
    markers, shared
        Which genes mark which types.
    n_genes
        At least three for each cell type.
    rng
        Decides the order of the genes.

    Raises
    ------
    InputError
        If ``n_genes`` is too small to tell the types apart, or larger than the names at hand.
    """
    types = tuple(markers)
    marks: dict[str, list[int]] = {}
    for rank in range(max(map(len, markers.values()))):
        for code, genes in enumerate(markers.values()):
            if rank < len(genes):
                marks.setdefault(genes[rank], []).append(code)
    for genes, beginnings in shared:
        codes = [
            k for k, name in enumerate(types) if name.startswith(tuple(beginnings.split("|")))
        ]
        for gene in genes:
            marks.setdefault(gene, []).extend(codes)
    catalogue = _catalogue()
    others = [name for name in _family_names() if name not in marks]
    possible = len(marks) + len(others)
    if not 3 * len(types) <= n_genes <= possible:
        raise InputError(
            f"{n_genes} genes cannot be simulated",
            where="n_genes",
            remedy=f"Ask for {3 * len(types)} to {possible} genes",
        )
    chosen = list(marks)[:n_genes]
    chosen += list(rng.permutation(others)[: n_genes - len(chosen)])
    names = tuple(str(name) for name in rng.permutation(chosen))
    return Panel(
        names,
        tuple(f"ENSG{100_003 + 71 * catalogue[name]:011d}" for name in names),
        tuple(tuple(marks.get(name, ())) for name in names),
    )


def _family_names() -> list[str]:
    """Every name the families give."""
    return [
        f"{stem}{number}" for stem, first, last in FAMILIES for number in range(first, last + 1)
    ]


def _catalogue() -> dict[str, int]:
    """Every name of either panel with a number of its own."""
    names: dict[str, int] = {}
    for markers, shared in ((CORTEX_MARKERS, CORTEX_SHARED), (TUMOUR_MARKERS, TUMOUR_SHARED)):
        groups = [*markers.values(), *(genes for genes, _ in shared)]
        for gene in (gene for genes in groups for gene in genes):
            names.setdefault(gene, len(names))
    for gene in _family_names():
        names.setdefault(gene, len(names))
    return names
