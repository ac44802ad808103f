"""The state of one open section, and the pipeline that keeps its results up to date."""
