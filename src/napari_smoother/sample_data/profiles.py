"""What each region is made of and how it stains."""

from __future__ import annotations

from napari_smoother.sample_data.histology import Stain

CORTEX_PROFILES: dict[str, tuple[float, ...]] = {
    # E L2-3, E L4, E L5, E L6, PVALB, SST, VIP, astro, oligo, OPC, microglia, endothelial
    "L1": (6, 0.5, 0.5, 0.5, 1, 3, 7, 50, 8, 8, 8, 8),
    "L2/3": (52, 4, 1, 0.5, 4, 4, 7, 14, 3, 4, 3, 4),
    "L4": (10, 46, 6, 0.5, 9, 4, 3, 10, 3, 3, 3, 3),
    "L5": (2, 7, 44, 5, 7, 7, 2, 11, 6, 3, 3, 4),
    "L6": (0.5, 1, 7, 46, 4, 4, 2, 13, 13, 4, 3, 4),
    "WM": (0.3, 0.3, 0.4, 2, 0.5, 0.5, 0.5, 13, 68, 5, 6, 4),
}
"""Composition of each layer in per cent, in the order of the cortex's cell types."""

CORTEX_DEPTHS = {"L1": 0.55, "L2/3": 1.1, "L4": 1.2, "L5": 1.15, "L6": 0.95, "WM": 0.55}
"""Counts caught, relative to the section's median."""

CORTEX_STAINS = {
    "L1": Stain(0.07, 0.40, 450, 20),
    "L2/3": Stain(0.12, 0.40, 1000, 800),
    "L4": Stain(0.17, 0.40, 2600, 700),
    "L5": Stain(0.09, 0.41, 700, 480),
    "L6": Stain(0.13, 0.45, 1300, 620),
    "WM": Stain(0.20, 0.62, 1900, 20, fibres=0.16, blotches=0.04),
}
"""How each layer takes the stains."""

TUMOUR_PROFILES: dict[str, tuple[float, ...]] = {
    # tumour, cycling, hypoxic, epithelium, CAF, fibroblast, pericyte, endothelium,
    # macrophage, T, B, plasma
    "stroma": (1, 0.3, 0.3, 1, 34, 28, 8, 9, 8, 5, 2, 4),
    "normal tissue": (0.3, 0.1, 0.1, 60, 1, 16, 5, 5, 3, 4, 1.5, 4),
    "invasive margin": (26, 9, 3, 0.5, 26, 4, 4, 5, 11, 8, 1.5, 2),
    "tumour": (62, 18, 6, 0.3, 4, 0.5, 1.5, 2, 4, 1.3, 0.2, 0.2),
    "necrosis": (20, 1, 48, 0.3, 2, 1, 1, 1, 23, 2, 0.3, 0.4),
    "immune aggregate": (0.5, 0.3, 0.3, 0.3, 2, 4, 1, 4, 6, 36, 38, 8),
}
"""Composition of each region in per cent, in the order of the tumour's cell types."""

TUMOUR_DEPTHS = {
    "stroma": 0.55,
    "normal tissue": 0.9,
    "invasive margin": 1.0,
    "tumour": 1.4,
    "necrosis": 0.3,
    "immune aggregate": 1.1,
}
"""Counts caught, relative to the section's median."""

TUMOUR_STAINS = {
    "stroma": Stain(0.05, 0.52, 900, 60, fibres=0.42),
    "normal tissue": Stain(0.06, 0.40, 700, 0, fibres=0.25),
    "invasive margin": Stain(0.20, 0.50, 2600, 1500, fibres=0.3, septa=0.5),
    "tumour": Stain(0.36, 0.40, 1500, 4200, septa=0.8),
    "necrosis": Stain(0.08, 0.72, 900, 0, blotches=0.2),
    "immune aggregate": Stain(0.40, 0.33, 13000, 0, blotches=0.12),
}
"""How each region takes the stains."""
