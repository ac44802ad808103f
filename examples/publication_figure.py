"""Composition on the tissue as a PDF, without a window."""

import tempfile
from pathlib import Path

from napari_smoother.figures import save_figure, spatial_grid
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_tumour
from napari_smoother.study.study import Study

sample = simulate_tumour(rows=30, n_genes=300, seed=0)
study = Study()
study.open(sample.section)
study.set_reference(Reference.from_cells(sample.reference, "cell_type", "cells"))
study.update()

composition = study.composition
shown = {
    name: composition.proportions[:, column]
    for column, name in enumerate(composition.types)
    if name in ("Tumour", "CAF", "T cell", "Epithelium")
}
figure = spatial_grid(sample.section, shown, quantity="proportion")
path = save_figure(figure, Path(tempfile.mkdtemp()) / "composition.pdf")
print(f"{path.name}: {path.stat().st_size:,} bytes")
