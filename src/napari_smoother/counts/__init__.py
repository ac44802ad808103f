"""Counts: where an AnnData keeps them, and reading them a few rows at a time."""
