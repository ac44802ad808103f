"""Commands for any layer of points, in the menus of napari and as forms in its docks."""

from napari_smoother.widgets.commands.connect_neighbours import connect_neighbours
from napari_smoother.widgets.commands.regions_of_points import regions_of_points
from napari_smoother.widgets.commands.smooth_feature import smooth_feature
from napari_smoother.widgets.commands.spatial_components import spatial_components

__all__ = ["connect_neighbours", "regions_of_points", "smooth_feature", "spatial_components"]
