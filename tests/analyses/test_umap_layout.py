"""UMAP: near spots stay near, one seed gives one layout, and it can be stopped."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn.neighbors import NearestNeighbors

import napari_smoother as ns
from napari_smoother.analyses import umap_layout
from napari_smoother.analyses.embedding_source import EmbeddingSource
from napari_smoother.analyses.recipe import Recipe
from napari_smoother.analyses.recipe_file import RecipeFile, from_toml, to_toml
from napari_smoother.analyses.umap_settings import UmapSettings
from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.reduction import neighbour_layout


def clusters(n: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return points of three clusters in ten dims, far from each other, and which they are of."""
    random = np.random.default_rng(seed)
    which = np.arange(n) % 3
    return 20 * np.eye(3, 10)[which] + random.normal(size=(n, 10)), which


def in_two(points: np.ndarray, **settings: object) -> np.ndarray:
    """Stand in for UMAP: the first two dims."""
    return np.array(points[:, :2], dtype=np.float64)


def section(scores: np.ndarray) -> AnnData:
    names = [f"s{number}" for number in range(len(scores))]
    return AnnData(np.ones((len(scores), 2)), obs=pd.DataFrame(index=names), obsm={"X_e": scores})


@pytest.mark.timeout(120)
def test_clusters_stay_together_and_one_seed_gives_one_layout() -> None:
    pytest.importorskip("umap", reason="umap-learn is not installed")
    scores, which = clusters()
    scores[7] = np.nan
    adata = section(scores)
    ns.umap(adata, "X_e", n_neighbors=10, seed=4)
    places = adata.obsm["X_umap"]
    assert places.shape == (240, 2)
    assert np.isnan(places[7]).all()
    known = np.delete(np.arange(240), 7)
    assert np.isfinite(places[known]).all()
    near = NearestNeighbors(n_neighbors=4).fit(places[known]).kneighbors(return_distance=False)
    assert (which[known][near] == which[known][:, None]).all()
    again = ns.umap(adata, "X_e", n_neighbors=10, seed=4, copy=True)
    np.testing.assert_array_equal(again.obsm["X_umap"], places)
    entry = adata.uns["smoother"]["umap"]
    assert entry["report"]["n_spots"] == 239
    assert entry["recipe"]["of"] == {"kind": "obsm", "key": "X_e"}
    # Begun before, and stopped at once: nothing is left of it, and the next one works.
    began, asked = time.monotonic(), []
    with pytest.raises(Cancelled):
        ns.umap(adata, "X_e", key_added="no", cancelled=lambda: asked.append(1) or len(asked) > 2)
    assert time.monotonic() - began < 30
    assert "X_no" not in adata.obsm


def test_spots_without_numbers_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(umap_layout, "lay_out", in_two)
    scores, _ = clusters(60)
    scores[[3, 9]] = np.nan
    found = umap_layout.compute(scores, section(scores).obs_names, UmapSettings())
    np.testing.assert_array_equal(found.places, scores[:, :2])
    assert "58 spots" in found.describe()
    assert "2 without a place" in found.describe()


def test_without_umap_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_layout, "is_installed", lambda: False)
    with pytest.raises(InputError, match=r"napari-smoother\[umap\]"):
        ns.umap(section(clusters()[0]), "X_e")


def test_too_few_spots_are_refused() -> None:
    pytest.importorskip("umap", reason="umap-learn is not installed")
    with pytest.raises(InputError, match="Set at most 11"):
        ns.umap(section(clusters(12)[0]), "X_e", n_neighbors=12)


def test_what_is_no_embedding_is_refused() -> None:
    adata = section(clusters()[0])
    adata.obsm["X_one"] = np.ones((240, 1))
    with pytest.raises(InputError, match="no embedding 'X_none'"):
        ns.umap(adata, "X_none")
    with pytest.raises(InputError, match="One number a spot"):
        ns.umap(adata, "X_one")


@pytest.mark.parametrize(
    "settings",
    [
        {"neighbours": 1},
        {"minimum_distance": 1.5},
        {"minimum_distance": float("nan")},
        {"seed": -1},
        {"of": EmbeddingSource("umap")},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict) -> None:
    with pytest.raises(InputError, match="umap"):
        UmapSettings(**settings)


def test_the_recipe_keeps_the_settings() -> None:
    settings = UmapSettings(EmbeddingSource("obsm", "X_pca"), 30, 0.4, 7)
    content = RecipeFile(Recipe(umap=settings))
    assert from_toml(to_toml(content)).recipe == content.recipe
