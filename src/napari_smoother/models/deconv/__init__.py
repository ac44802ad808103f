"""Deconvolution: how much of every cell type each spot holds."""
