"""Domains on embeddings with a known partition."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.models.reduction import find_domains
from napari_smoother.weights.neighbours import nearest_neighbours


def stripes(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    positions = random.random((900, 2))
    truth = (positions[:, 0] * 3).astype(int)
    centres = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 2.0], [0.0, 2.0, 1.0]])
    return positions, truth, centres[truth] + noise * random.standard_normal((900, 3))


def test_clear_groups_are_found_whatever_the_seed():
    _, truth, embedding = stripes(0.1)
    for seed in range(3):
        found = find_domains(embedding, 3, seed=seed)
        assert adjusted_rand_score(truth, found.labels) == 1
        assert found.converged
        sizes = np.bincount(found.labels)
        assert (np.diff(sizes) <= 0).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)


def test_a_field_of_labels_finds_what_noise_hides():
    positions, truth, embedding = stripes(1.2)
    weights = nearest_neighbours(positions, 6).weights
    plain = find_domains(embedding, 3)
    field = find_domains(embedding, 3, weights=weights, coupling=3.0)
    before = adjusted_rand_score(truth, plain.labels)
    assert before < 0.75
    assert adjusted_rand_score(truth, field.labels) > before + 0.15


def test_isolated_spots_keep_what_the_embedding_says():
    _, truth, embedding = stripes(0.1)
    far = np.arange(900)[:, None] * np.array([1.0, 0.0])
    weights = nearest_neighbours(far, 2).weights.tolil()
    weights[:50] = 0
    weights[:, :50] = 0
    found = find_domains(embedding, 3, weights=weights.tocsr(), coupling=1.0)
    assert adjusted_rand_score(truth[:50], found.labels[:50]) == 1


def test_the_same_seed_gives_the_same_bits():
    positions, _, embedding = stripes(1.0)
    weights = nearest_neighbours(positions, 6).weights
    one = find_domains(embedding, 4, weights=weights, coupling=2.0, seed=3)
    two = find_domains(embedding, 4, weights=weights, coupling=2.0, seed=3)
    assert np.array_equal(one.probabilities, two.probabilities)


def test_constant_embeddings_one_domain_and_one_spot():
    assert (find_domains(np.ones((20, 3)), 2).labels == 0).all()
    assert (find_domains(stripes(0.1)[2], 1).labels == 0).all()
    assert find_domains(np.ones((1, 3)), 1).labels.tolist() == [0]


def test_faults_and_cancel():
    embedding = stripes(0.1)[2]
    with pytest.raises(InputError, match="not finite"):
        find_domains(embedding * np.nan, 2)
    with pytest.raises(InputError, match="0 domains"):
        find_domains(embedding, 0)
    with pytest.raises(InputError, match="graph"):
        find_domains(embedding, 2, coupling=1.0)
    with pytest.raises(Cancelled):
        find_domains(embedding, 2, cancelled=lambda: True)
