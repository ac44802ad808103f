"""Recipes without a window: over one section or many, on this machine or on a cluster."""
