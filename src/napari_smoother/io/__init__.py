"""Every format in and out, one a module.

``opening`` decides which reader a path needs; the readers are ``space_ranger`` and ``h5ad`` for
sections, ``reference`` and ``signature_table`` for what cell types express, and
``regions_geojson`` for polygons. Files are written through `napari_smoother.atomic`, so that none
is ever left half written.
"""
