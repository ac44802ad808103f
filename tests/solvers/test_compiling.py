"""The compiler is loaded when it is needed, and warming up leaves it nothing to do."""

import subprocess
import sys


def test_importing_the_package_does_not_load_the_compiler():
    program = (
        "import sys, napari_smoother, napari_smoother.solvers\n"
        "assert 'numba' not in sys.modules\n"
        "from napari_smoother.solvers import warm_up\n"
        "assert 'numba' in sys.modules\n"
        "warm_up()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_warming_up_leaves_nothing_to_compile():
    """Solves of every kind in a fresh interpreter add no compiled signature after it."""
    program = """
import importlib, sys
import numpy as np, scipy.sparse as sparse
from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic, warm_up

def compiled():
    return {
        (name, kernel): len(value.signatures)
        for name, module in list(sys.modules.items())
        if name.startswith("napari_smoother.solvers.")
        for kernel, value in vars(module).items()
        if hasattr(value, "signatures")
    }

warm_up()
before = compiled()
assert sum(before.values()) > 20
random = np.random.default_rng(0)
spots = 1500
ones = np.ones(spots - 1)
weights = sparse.diags_array((ones, ones), offsets=(-1, 1)).tocsr()
precision = sparse.diags_array(np.asarray(weights.sum(axis=1)).ravel()) - weights
root = random.random((9, 4))
data = DataTerm.prepare(root.T @ root, random.poisson(1.0, (spots, 9)) @ root)
prior = PriorTerm.prepare(precision)
methods = set()
for weight in (0.0, 0.1, 10.0, 1e3, 1e5):
    for bounded in (True, False):
        for start in (None, np.ones((spots, 4), np.float32), np.ones((spots, 4))):
            solution = solve_bounded_quadratic(
                data, prior, weight, bounded=bounded, start=start, maximum_steps=200
            )
            methods.add(solution.method)
assert len(methods) >= 4, methods
assert any("LowRankBlocks" in method for method in methods), methods
after = compiled()
assert after == before, {key: after[key] for key in after if after[key] != before.get(key)}
"""
    subprocess.run([sys.executable, "-c", program], check=True)
