"""UMAPs in a process of their own, one after another, in folders named on the standard input.

What UMAP is compiled from and its loops hold the interpreter, and nothing in it can be told to
stop: in a process of its own neither matters. That process is kept, since compiling takes longer
than laying out some thousand points; it ends with its standard input. A folder has
``points.npy`` and ``settings.json``, and gets ``far.txt`` (how far it is) and then ``places.npy``
or ``fault.txt``.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path


def main() -> None:
    """Lay out what folders hold until there are no more."""
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        folder = Path(line.rstrip("\r\n"))
        try:
            lay_out(folder)
        except Exception as fault:  # told to whoever asked
            unfinished = folder / "unfinished.txt"
            unfinished.write_text(f"{type(fault).__name__}: {fault}", encoding="utf-8")
            unfinished.replace(folder / "fault.txt")


def lay_out(folder: Path) -> None:
    """Lay out the points of a folder."""
    import numpy as np
    from umap import UMAP

    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    with (folder / "far.txt").open("w", encoding="utf-8") as far:
        layout = UMAP(
            n_neighbors=settings["neighbours"],
            min_dist=settings["minimum_distance"],
            random_state=settings["seed"],
            n_jobs=1,  # what a seed needs
            tqdm_kwds={
                "disable": False,
                "file": far,
                "bar_format": "{n_fmt}/{total_fmt}",
                "mininterval": 0.2,
            },
        )
        places = layout.fit_transform(np.load(folder / "points.npy"))
    unfinished = folder / "unfinished.npy"
    np.save(unfinished, np.asarray(places, dtype=np.float64))
    unfinished.replace(folder / "places.npy")


if __name__ == "__main__":
    main()
