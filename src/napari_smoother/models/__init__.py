"""Models: deconvolution, reduction and imputation under a spatial prior."""
