from __future__ import annotations

import subprocess
import sys

HEAVY = ["torch", "napari", "scanpy", "anndata", "pandas", "matplotlib", "scipy", "numpy"]


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_importing_the_package_loads_nothing_heavy():
    assert (
        run(
            "import napari_smoother, sys;"
            f"print([name for name in {HEAVY!r} if name in sys.modules])"
        )
        == "[]"
    )


def test_names_are_there_when_asked_for():
    assert run(
        "import napari_smoother as package, sys;"
        "print(set(package.__all__) <= set(dir(package)), 'torch' in sys.modules);"
        "print(package.SpatialLoss.__name__, 'torch' in sys.modules);"
        "print(all(getattr(package, name) is not None for name in package.__all__))"
    ).split() == ["True", "False", "SpatialLoss", "True", "True"]


def test_an_unknown_name_is_an_attribute_error():
    import napari_smoother

    assert not hasattr(napari_smoother, "SpatialGain")


def test_functions_on_annotated_data_come_without_torch():
    assert run(
        "import napari_smoother as package, sys;"
        "print(package.spatial_weights.__name__, package.deconvolve.__name__);"
        "print(package.read.__name__);"
        "print('torch' in sys.modules, 'napari' in sys.modules)"
    ).split() == ["spatial_weights", "deconvolve", "read", "False", "False"]
