"""Proportions and dominant types by hand."""

from __future__ import annotations

import numpy as np

from napari_smoother.models.deconv.composition import dominant_type, proportions, without_value

ABUNDANCE = np.array([[1.0, 3.0], [0.0, 0.0], [2.0, 2.0], [-1.0, 4.0]])


def test_rows_add_up_to_one_and_empty_rows_stay() -> None:
    props = proportions(ABUNDANCE)
    np.testing.assert_allclose(props, [[0.25, 0.75], [0, 0], [0.5, 0.5], [0, 1]])
    np.testing.assert_array_equal(without_value(props), [False, True, False, False])


def test_shares_of_cells() -> None:
    """A type with three times the RNA needs a third of the cells."""
    np.testing.assert_allclose(
        proportions(ABUNDANCE[:1], cell_totals=np.array([100.0, 300.0])), [[0.5, 0.5]]
    )


def test_dominant_type_takes_the_first_on_a_tie() -> None:
    np.testing.assert_array_equal(dominant_type(proportions(ABUNDANCE)), [1, -1, 0, 1])


def test_input_is_not_changed() -> None:
    before = ABUNDANCE.copy()
    proportions(ABUNDANCE)
    np.testing.assert_array_equal(ABUNDANCE, before)
