#!/usr/bin/env bash
# Holds every C++ file against .clang-format (Google's style, 100 columns); names the places that
# differ and exits 1 if there is one. "clang-format -i FILE" mends them.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
find gateway dimse web mapping tests -name node_modules -prune -o \
  \( -name '*.h' -o -name '*.cpp' \) -print0 |
  xargs -0 clang-format --dry-run -Werror
echo "every C++ file keeps .clang-format"
