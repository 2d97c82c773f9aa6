#!/usr/bin/env bash
# Faults of SCPs and of modalities, over and over, each followed by a good request: neither memory nor
# threads nor descriptors may grow. The test command runs a short piece of the same.
#
#   scripts/soak.sh [CYCLES]      10000 without an argument: some minutes
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

cycles=${1:-10000}
setup
build_target dimse_test
MODGATE_SOAK_CYCLES=$cycles exec "$build/tests/dimse_test" -# "[#soak_test]" --durations yes
