"""How the compiled core is chosen, set and kept through a fork; its jobs are tested by family."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from napari_smoother import _core


def run(code, **environment):
    """Run a program in a fresh process with warnings as errors; return its outputs."""
    settings = {
        name: value for name, value in os.environ.items() if not name.startswith("NAPARI_SMOOTHER")
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=settings | environment,
    )


def test_the_best_level_of_the_processor_is_chosen():
    done = run("from napari_smoother import _core; print(_core.LEVEL, *_core.LEVELS)")
    assert done.stderr == ""
    level, *usable = done.stdout.split()
    assert level == usable[0]
    assert tuple(usable) == _core.LEVELS
    assert _core.LEVEL in _core.LEVELS
    assert all(level <= _core.best_level() for level in usable)


@pytest.mark.parametrize("level", _core.LEVELS)
def test_a_level_can_be_forced(level):
    done = run(
        "from napari_smoother import _core; print(_core.LEVEL)", NAPARI_SMOOTHER_LEVEL=level
    )
    assert (done.stdout.strip(), done.stderr) == (level, "")


def test_an_unknown_level_is_refused_with_those_there_are():
    done = run("import napari_smoother._core", NAPARI_SMOOTHER_LEVEL="x86_64_v9")
    said = done.stderr.splitlines()[-1]
    assert said.startswith("ImportError: NAPARI_SMOOTHER_LEVEL is 'x86_64_v9'")
    assert all(level in said for level in _core.LEVELS)


def test_a_level_that_the_processor_lacks_is_refused():
    done = run(
        "import importlib, types\n"
        "whole = importlib.import_module\n"
        "old = types.SimpleNamespace(best_level=lambda: 'x86_64_v1')\n"
        "importlib.import_module = lambda name: old if '_core_' in name else whole(name)\n"
        "import napari_smoother._core"
    )
    said = done.stderr.splitlines()[-1]
    assert said.startswith("ImportError: This installation of napari-smoother needs a processor")
    assert said.endswith("x86_64_v1")


def test_without_a_build_it_says_how_to_get_one():
    done = run(
        "import importlib.util\n"
        "importlib.util.find_spec = lambda name: None\n"
        "import napari_smoother._core"
    )
    assert "pip install" in done.stderr.splitlines()[-1]


def test_importing_it_loads_nothing_else():
    done = run(
        "import sys; from napari_smoother import _core; print({'numpy', 'scipy'} & {*sys.modules})"
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_is_one_setting(threads):
    done = run(
        "from napari_smoother import _core\n"
        "print(_core.thread_count()); _core.set_thread_count(2); print(_core.thread_count())",
        NAPARI_SMOOTHER_THREADS=str(threads),
    )
    assert done.stdout.split() == [str(threads), "2"]


@pytest.mark.parametrize("setting", ["0", "65", "two", "-1", "1.5"])
def test_threads_that_cannot_be_are_refused(setting):
    done = run("import napari_smoother._core", NAPARI_SMOOTHER_THREADS=setting)
    said = done.stderr.splitlines()[-1]
    assert said == (
        f"ImportError: NAPARI_SMOOTHER_THREADS is {setting!r}; set a whole number from 1 to 64"
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_has_threads_of_its_own():
    done = run(
        "import os, sys, warnings\n"
        "from napari_smoother import _core\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"  # Python's own, of forks
        "threads = _core.thread_count()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    sys.exit(0 if _core.thread_count() == threads else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))",
        NAPARI_SMOOTHER_THREADS="3",
    )
    assert (done.returncode, done.stderr) == (0, "")


SOLVE = (
    "import numpy as np, scipy.sparse as sparse\n"
    "from napari_smoother import _core\n"
    "from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic\n"
    "random = np.random.default_rng(0)\n"
    "spots, types = 3000, 7\n"
    "root = random.standard_normal((30, types))\n"
    "ones = -np.ones(spots - 1)\n"
    "chain = sparse.diags_array([ones, 2.01 * np.ones(spots), ones], offsets=[-1, 0, 1])\n"
    "data = DataTerm.prepare(root.T @ root, random.gamma(1, 1, (spots, 30)) @ np.abs(root))\n"
    "prior = PriorTerm.prepare(sparse.csr_array(chain))\n"
    "def solve():\n"
    "    return solve_bounded_quadratic(data, prior, 20.0, tolerance=1e-6).values\n"
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_solves_as_its_parent_does():
    done = run(
        SOLVE + "import os, sys, warnings\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"
        "before = solve().tobytes()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if solve().tobytes() == before else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))",
        NAPARI_SMOOTHER_THREADS="3",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_level_finds_the_same(tmp_path):
    found = []
    for level in _core.LEVELS:
        file = tmp_path / f"{level}.npy"
        done = run(SOLVE + f"np.save({str(file)!r}, solve())", NAPARI_SMOOTHER_LEVEL=level)
        assert (done.returncode, done.stderr) == (0, "")
        found.append(np.load(file))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5 * found[0].max())


def test_nothing_is_compiled_on_the_machine_of_the_user():
    done = run(
        SOLVE + "import sys\n"
        "from napari_smoother.models.deconv import NuSVR\n"
        "from napari_smoother.weights.neighbours import nearest_neighbours\n"
        "solve()\n"
        "nearest_neighbours(random.random((50, 2)))\n"
        "NuSVR().deconv(np.abs(root), random.gamma(1, 1, (30, 9)))\n"
        "print({'numba', 'llvmlite'} & {*sys.modules})"
    )
    assert done.stdout.strip() == "set()", done.stderr
