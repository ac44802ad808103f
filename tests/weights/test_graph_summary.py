from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from napari_smoother.weights.summary import edge_list, graph_summary, weakening


def graph():
    """0-1 and 1-2 linked, 2-3 cut, 4 alone."""
    dense = np.zeros((5, 5))
    for i, j, value in [(0, 1, 2.0), (1, 2, 0.5), (2, 3, 9.0)]:
        dense[i, j] = dense[j, i] = value
    matrix = csr_array(dense)
    matrix.data[matrix.data == 9] = 0
    return matrix


def test_summary_counts_pairs_once():
    found = graph_summary(graph())
    assert (found.n_spots, found.n_edges, found.n_cut) == (5, 2, 1)
    assert (found.n_components, found.n_isolated) == (3, 2)
    assert found.mean_degree == 4 / 5
    assert found.components[0] == found.components[1] == found.components[2]
    assert len(set(found.components[[2, 3, 4]])) == 3


def test_summary_of_a_graph_in_one_direction():
    one_way = csr_array(np.triu(np.ones((3, 3)), 1))
    found = graph_summary(one_way)
    assert (found.n_edges, found.n_components, found.mean_degree) == (3, 1, 2)


def test_summary_without_edges():
    found = graph_summary(csr_array((2, 2)))
    assert (found.n_edges, found.n_components, found.n_isolated) == (0, 2, 2)


def test_edges_are_listed_once_with_the_cut_ones():
    i, j, value = edge_list(graph())
    np.testing.assert_array_equal(i, [0, 1, 2])
    np.testing.assert_array_equal(j, [1, 2, 3])
    np.testing.assert_array_equal(value, [2, 0.5, 0])


def test_weakened_edges_are_told_from_cut_ones():
    found = weakening(np.array([0.0, 0.0, 1e-6, 0.049, 0.05, 0.3, 0.5, 0.96, 1.0, 1.0 + 1e-15]))
    assert (found.n_edges, found.n_cut, found.n_nearly_cut, found.n_halved) == (10, 2, 2, 4)
    assert found.counts.sum() == 8
    assert (found.counts[0], found.counts[1], found.counts[-1]) == (2, 1, 3)
    assert not found.most_is_lost
    assert weakening(np.array([0.0, 0.01, 1.0])).most_is_lost
    assert not weakening(np.empty(0)).most_is_lost
