"""What is said where scvi-tools is not installed."""

from __future__ import annotations

import subprocess
import sys


def test_the_message_names_the_extra():
    program = (
        "import sys\n"
        "sys.modules['scvi'] = None\n"
        "sys.modules['scvi.model'] = None\n"
        "try:\n"
        "    from napari_smoother.models.reduction import SpatialVAE\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "napari-smoother[scvi]" in found.stdout
