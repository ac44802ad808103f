"""From a study to napari layers, and from edits of layers back to the study."""
