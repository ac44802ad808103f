"""Spatially coherent analysis of spatial omics: the library under the napari plugin."""

__version__ = "0.1.0"
