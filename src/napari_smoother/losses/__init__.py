"""Spatial losses: quadratic forms of a spatial precision, as torch modules.

`spatial` has `SpatialLoss`, `contrastive` has `ContrastiveSpatialLoss`, `quadratic` the form
itself with its exact gradient, `correlation` how fast correlation falls with distance.
"""
