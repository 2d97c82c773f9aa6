#!/usr/bin/env bash
# Measures mapping/ beside RapidJSON, tinyxml2 and DCMTK doing the same work (tests/bench/
# mapping_bench.cpp), in one run, and prints the ratios with what is wanted of them; fails where one
# is missed. Arguments go to Google Benchmark: --benchmark_filter=xml. Needs a quiet machine.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

packages_to_build+=(libbenchmark-dev)
setup
build_target mapping_bench
exec "$build/tests/bench/mapping_bench" --benchmark_repetitions=5 "$@"
