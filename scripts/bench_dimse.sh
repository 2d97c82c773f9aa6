#!/usr/bin/env bash
# Measures what modgate adds to C-FIND, N-CREATE and N-SET between peers in memory, beside Orthanc
# (tests/bench/dimse_bench.cpp), in one run; prints the targets, and fails where one is missed.
# Arguments: search, web, mpps, memory; all of them without one. Needs a quiet machine; trust the
# ratios.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup
build_target modgate dimse_bench
exec "$build/tests/bench/dimse_bench" "$build/modgate" "$@"
