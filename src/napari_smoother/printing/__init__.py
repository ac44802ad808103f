"""What a study has found, as panels of a figure: the same from a window and without one."""
