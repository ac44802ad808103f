#!/usr/bin/env bash
# Sees to what the wheels of others do not bring on Debian and Ubuntu: a C++ compiler, the headers of
# Python, and the libraries of Qt and OpenGL. Elsewhere it says what is needed.
set -euo pipefail

[ "$(uname -s)" = Linux ] || exit 0

packages=(
  xvfb xauth libgl1 libegl1 libgl1-mesa-dri libxkbcommon-x11-0 libdbus-1-3 libfontconfig1
  libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxcb-image0 libxcb-render-util0
  libxcb-xinerama0 libxcb-randr0 libxtst6
)
command -v "${CXX:-c++}" >/dev/null || packages+=(g++)
header=$("${PYTHON:-python3}" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
[ -f "$header" ] || packages+=(python3-dev)

missing=()
if command -v dpkg-query >/dev/null; then
  for package in "${packages[@]}"; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
  done
elif ! command -v Xvfb >/dev/null; then
  echo "This is not Debian: if the core does not compile, install a C++ compiler and the headers of Python; if the window does not open, your system's packages for Xvfb, Mesa (GL, EGL) and libxcb (cursor, icccm, keysyms, image, render-util)."
  exit 0
fi

[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && sudo --non-interactive true 2>/dev/null; then
    as_root=(sudo)
  else
    echo "Please install once, as an administrator: apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi

"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
