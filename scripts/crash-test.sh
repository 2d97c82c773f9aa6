#!/usr/bin/env bash
# Kills modgate with SIGKILL at random moments while modalities send MPPS through it to receivers that
# come and go; then every message that was answered with success must be at every receiver, once in
# effect and in order. The test command runs a short piece of the same.
#
#   scripts/crash-test.sh [KILLS [SEED]]      20 without an argument: about half a minute
#
# MODGATE_BINARY: test this program instead of building one.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

if [ -z "${MODGATE_BINARY:-}" ]; then
  setup
  build_target modgate
  install_node_modules
  export MODGATE_BINARY=$build/modgate
fi
exec node "$root/tests/end_to_end/crash.js" "${1:-20}" ${2:+"$2"}
