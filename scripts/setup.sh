#!/usr/bin/env bash
# Brings a Debian 12 machine to where modgate can be built, tested and shown: installs the packages
# that are missing, and only these. Sourced by run.sh and test.sh, which share its functions; run by
# itself it does the same. A second time it changes nothing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build

packages_to_build=(
  g++ cmake ninja-build pkg-config ccache libdcmtk-dev libcpp-httplib-dev rapidjson-dev
  libtinyxml2-dev libfmt-dev catch2 libssl-dev libsqlite3-dev libsqlitecpp-dev libinih-dev libcli11-dev libspdlog-dev
  zlib1g-dev
)
packages_of_checks=(clang-format debootstrap dpkg-dev file libxml2-utils man-db prometheus)
packages_of_peers=(dcmtk orthanc haproxy curl chromium ca-certificates openssl python3 python3-pydicom sqlite3)

say() { echo "== $*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

is_installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Prints the packages that are not there. A node of 18 or later is taken wherever it comes from.
missing_packages() {
  local package
  for package in "${packages_to_build[@]}" "${packages_of_checks[@]}" "${packages_of_peers[@]}"; do
    is_installed "$package" || echo "$package"
  done
  if ! command -v node >/dev/null || [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 18 ]; then
    echo nodejs
  fi
  command -v npm >/dev/null || echo npm
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# Where DCMTK's example worklist is; fails if it is nowhere. A directory is not enough: small images
# install packages without their documentation, and keep its empty directories.
examples() {
  local place
  for place in /usr/share/doc/dcmtk/examples "$build/dcmtk-examples"; do
    if compgen -G "$place/wlistdb/OFFIS/*.dump*" >/dev/null; then echo "$place"; return 0; fi
  done
  return 1
}

# Where there is no documentation, the example worklist is taken out of the package itself.
unpack_examples() {
  if examples >/dev/null; then return 0; fi
  say "fetching DCMTK's example worklist"
  local scratch
  scratch=$(mktemp -d)
  (cd "$scratch" && apt-get -o APT::Sandbox::User=root download -q dcmtk && dpkg-deb -x dcmtk_*.deb unpacked)
  mkdir -p "$build/dcmtk-examples"
  cp -r "$scratch/unpacked/usr/share/doc/dcmtk/examples/." "$build/dcmtk-examples/"
  rm -rf "$scratch"
}

setup() {
  install_packages
  unpack_examples
}

# build_target [TARGET...]: all of it without arguments.
build_target() {
  say "building ${*:-everything}"
  local output
  output=$(cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo 2>&1) ||
    { echo "$output"; return 1; }
  ninja -C "$build" -j2 --quiet "$@"
}

# The npm packages of the end-to-end tests, when their lock file or node has changed.
install_node_modules() {
  local tests=$root/tests/end_to_end
  local stamp=$tests/node_modules/.installed-from
  local now
  now=$(cat "$tests/package.json" "$tests/package-lock.json" <(node --version) | sha256sum)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ]; then return 0; fi
  say "installing npm packages"
  (cd "$tests" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
  echo "$now" >"$stamp"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then setup; fi
