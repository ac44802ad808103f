"""The optional package behind the spatial autoencoder, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def scvi_module(name: str) -> Any:
    """Import a module of scvi-tools.

    Raises
    ------
    ImportError
        With the name of the extra to install, if it is missing or does not import.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            "The spatial autoencoder needs scvi-tools, which does not import "
            f"({error}). Install the extra: pip install 'napari-smoother[scvi]'."
        ) from error
