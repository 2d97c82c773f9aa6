#!/usr/bin/env bash
# Installs what is missing, builds everything, runs every test. Arguments go to ctest:
#   scripts/test.sh -R worklist
# The last lines are ctest's summary; the exit code is ctest's.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup
build_target
install_node_modules
exec ctest --test-dir "$build" --output-on-failure -j2 "$@"
