"""Analyses: a section and settings in, a result that can be written out; one module each."""
