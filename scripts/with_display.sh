#!/usr/bin/env bash
# Runs a command on the present display, or on a virtual one where there is none.
set -euo pipefail

if [ "$(uname -s)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
  exec "$@"
fi

export NAPARI_SMOOTHER_VIRTUAL_DISPLAY=1
# Software OpenGL: a virtual display has no graphics card behind it.
export LIBGL_ALWAYS_SOFTWARE=1
exec xvfb-run --auto-servernum --server-args="-screen 0 1680x1050x24 +extension GLX" "$@"
