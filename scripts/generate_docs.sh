#!/usr/bin/env bash
# Writes the tables in docs/ that are made of the code's tables: keys of the configuration, statuses,
# attributes. What a key is for is written by hand, in the last column, and kept. The test "documents"
# fails where this was forgotten.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

build_target document_tables
"$build/tests/documents/document_tables" "$root"/docs/{configuration,status-mapping,conformance-statement}.md
