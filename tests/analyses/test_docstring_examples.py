"""The examples in the docstrings of the public functions on AnnData run, and say what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "comparison",
    "components",
    "domains",
    "imputation",
    "prediction",
    "smooth_embedding",
    "spatially_variable_genes",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(f"napari_smoother.analyses.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 3
    assert result.failed == 0
