"""The command line: a section in the window, the demonstration, or a recipe without a window."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import napari_smoother

if TYPE_CHECKING:
    from collections.abc import Sequence

DEMO = "demo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        As typed after the program's name; None takes those of the process.

    Returns
    -------
    int
        0 when all went well.
    """
    typed = sys.argv[1:] if arguments is None else list(arguments)
    if typed and typed[0] in ("run", "validate"):
        from napari_smoother.batch import command

        return (command.run if typed[0] == "run" else command.validate)(typed[1:])
    parser = argparse.ArgumentParser(
        prog="napari-smoother",
        description="Spatially coherent analysis of spatial omics.",
        epilog="Without a window: napari-smoother run RECIPE.toml SECTION..., and "
        "napari-smoother validate RECIPE.toml [SECTION...]; each has its own --help.",
    )
    parser.add_argument(
        "section",
        nargs="?",
        metavar="SECTION",
        help=f"a Space Ranger folder or an .h5ad file; '{DEMO}' opens a simulated section",
    )
    parser.add_argument(
        "--reference",
        metavar="FILE",
        help="single cells (.h5ad) or a signature table to deconvolve with",
    )
    parser.add_argument(
        "--cell-type", metavar="COLUMN", help="obs column of the reference that holds the type"
    )
    parser.add_argument(
        "--screenshot-without-display",
        metavar="PNG",
        help="on a virtual display, write a picture of the window and leave",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {napari_smoother.__version__}"
    )
    chosen = parser.parse_args(typed)
    if chosen.section not in (None, DEMO) and not Path(chosen.section).exists():
        print(f"napari-smoother: there is no {chosen.section}", file=sys.stderr)
        return 2

    from napari_smoother.widgets import window

    screenshot = None
    if chosen.screenshot_without_display and "NAPARI_SMOOTHER_VIRTUAL_DISPLAY" in os.environ:
        screenshot = Path(chosen.screenshot_without_display)
    if chosen.section == DEMO:
        window.demonstrate(screenshot)
    else:
        window.show(
            Path(chosen.section) if chosen.section else None,
            Path(chosen.reference) if chosen.reference else None,
            chosen.cell_type,
            screenshot,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
