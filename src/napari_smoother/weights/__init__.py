"""Who is next to whom, and how strongly: neighbours, scalings, precision matrices.

Modules, from positions upwards: `neighbours` (graphs from positions; `cells`, `nearest` and `band`
find them, `adjacency` joins them), `scaling` (factors on edges), `precision` (spatial processes),
`summary` (what a graph looks like), `histology` (features from the tissue image), `scaled_graph`
(a graph with its scalings) and `matrix` (`SpatialWeightMatrix`, all of it in one object).
"""
