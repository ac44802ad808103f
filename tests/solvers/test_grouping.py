"""Members of groups against a sort."""

import numpy as np
import pytest

from napari_smoother.solvers.grouping import members_of_groups


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize(("size", "count"), [(0, 0), (0, 3), (1, 1), (500, 7), (500, 600)])
def test_members_are_side_by_side_and_ascending(size, count, dtype) -> None:
    groups = np.random.default_rng(size).integers(-1, max(count, 1), size).astype(dtype)
    cuts, members = members_of_groups(groups, count)
    assert cuts.size == count + 1
    assert cuts[0] == 0
    for group in range(count):
        found = members[cuts[group] : cuts[group + 1]]
        np.testing.assert_array_equal(found, np.flatnonzero(groups == group))
    assert members.size == np.count_nonzero(groups >= 0)
