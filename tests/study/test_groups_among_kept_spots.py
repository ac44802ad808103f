"""Groups of a section with spots left out are compared as those of the section without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from napari_smoother.analyses.comparison_settings import ComparisonSettings
from napari_smoother.analyses.kept_spots import KeptSpots
from napari_smoother.analyses.quality_settings import QualitySettings
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.models.deconv.reference import Reference
from napari_smoother.sample_data import simulate_cortex
from napari_smoother.study.comparison import Comparison
from napari_smoother.study.ranked_genes import RankedGenes
from napari_smoother.study.session_record import SessionRecord
from napari_smoother.study.study import Study

pytest.importorskip("scanpy")


def test_groups_are_compared_among_kept_spots_alone() -> None:
    sample = simulate_cortex(rows=18, n_genes=150, seed=4, image_size=400)
    section = sample.section
    section.adata.obs["half"] = pd.Categorical(
        np.where(section.positions[:, 0] > np.median(section.positions[:, 0]), "right", "left")
    )
    totals = np.asarray(section.adata.X.sum(axis=1)).ravel()
    limit = float(np.quantile(totals, 0.2))
    subset = KeptSpots.of(section, totals >= limit).section
    reference = Reference.from_cells(sample.reference, "cell_type", "cells")
    recipe = Recipe(comparison=ComparisonSettings(groups="column", column="half"))
    limited = replace(recipe, quality=QualitySettings(min_counts=limit))
    found = []
    for opened, chosen in ((section, limited), (subset, recipe)):
        study = Study()
        study.open(opened, SessionRecord(chosen, reference))
        study.composition_analysis.update()
        comparison, ranking = Comparison(study), RankedGenes(study)
        comparison.update()
        ranking.update()
        found.append((comparison.result, ranking.result))
    (by_limit, genes_by_limit), (by_subset, genes_by_subset) = found
    pd.testing.assert_frame_equal(by_limit.differences, by_subset.differences)
    pd.testing.assert_frame_equal(by_limit.regions, by_subset.regions)
    np.testing.assert_array_equal(genes_by_limit.groups.sizes, genes_by_subset.groups.sizes)
    np.testing.assert_array_equal(genes_by_limit.scores, genes_by_subset.scores)
