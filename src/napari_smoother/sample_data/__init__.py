"""Simulated sections whose true composition is known.

:func:`simulate_cortex` and :func:`simulate_tumour` make a section as Space Ranger would
leave it (lattice, counts, picture) together with the single cells it was mixed from.
:func:`simulate_large` makes sections of any size for benchmarks.
"""

from __future__ import annotations

from napari_smoother.sample_data.assemble import Sample
from napari_smoother.sample_data.sample import simulate_cortex, simulate_large, simulate_tumour

__all__ = ["Sample", "simulate_cortex", "simulate_large", "simulate_tumour"]
