#!/usr/bin/env bash
# Checks what the compiler cannot, since every header is on one include path:
# which folder may include which, where third-party headers may be seen, that no file knows one
# machine's directories, that every file says why it exists. Prints each fault as FILE:LINE: what is
# wrong, and exits 1 if there is one. An argument names another tree to check (for its own test).
set -euo pipefail

root=$(cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}" && pwd)
cd "$root"

# The tracked files; in a tree without git, all of them.
if [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$root" ]; then
  mapfile -t files < <(git ls-files --cached --others --exclude-standard)
else
  mapfile -t files < <(find . -type f -not -path './.git/*' -not -path './build*' -not -path '*/node_modules/*' -printf '%P\n')
fi

existing=()
for file in "${files[@]}"; do
  if [ -f "$file" ]; then existing+=("$file"); fi
done
if [ ${#existing[@]} -eq 0 ]; then
  echo "$root: no files to check"
  exit 1
fi

faults=$(printf '%s\n' "${existing[@]}" | sort | xargs -d '\n' awk '
  function there(name,   line, found) {
    found = (getline line < name) > 0
    close(name)
    return found
  }
  # The header beside it; for a test, the header it tests.
  function has_own_header(   name, tested) {
    name = FILENAME
    if (sub(/(_test)?\.cpp$/, ".h", name) == 0) return 0
    tested = name
    sub(/^tests\//, "", tested)
    return there(name) || there(tested)
  }
  function fault(what) { printf "%s:%d: %s\n", FILENAME, FNR, what }

  # Our own folders: which may include which.
  BEGIN {
    allowed["gateway"] = " gateway dimse web mapping "
    allowed["dimse"] = " dimse mapping "
    allowed["web"] = " web mapping "
    allowed["mapping"] = " mapping "
    # Directories of one machine; written so that this line is none.
    machine = "(^|[^A-Za-z0-9_.~-])/(work|home|root)(/[A-Za-z0-9_.]|[^A-Za-z0-9_/.-]|$)"
  }

  FNR == 1 {
    commented = 0
    room = ""
    if (FILENAME ~ /^(mapping|dimse|web|gateway)\//) room = substr(FILENAME, 1, index(FILENAME, "/") - 1)
    source = FILENAME ~ /\.(h|cpp|cpp\.in|hpp|cc)$/
    header = FILENAME ~ /\.h$/
    text = FILENAME !~ /\.(dcm|wl|png|ico|gz|jpg)$/ && FILENAME !~ /package-lock\.json$/
    commentable = source || FILENAME ~ /\.(js|mjs|sh|py)$/
    first = 1
  }

  # The header comment: the first line, after "#!" if there is one. What belongs to a header of the
  # same name, or tests it, is explained there.
  commentable && FNR == first {
    if (FNR == 1 && $0 ~ /^#!/) first = 2
    else if (has_own_header()) {}
    else if ($0 !~ (source ? "^/[/*]" : "^(//|/[*]|# |\"\"\")")) fault("no header comment: say why this file exists")
  }

  text && $0 ~ machine { fault("a path of one machine: " $0) }

  source && match($0, /^[ \t]*#[ \t]*include[ \t]*[<"][^>"]+[>"]/) {
    target = substr($0, RSTART, RLENGTH)
    sub(/^[^<"]*[<"]/, "", target)
    sub(/[>"]$/, "", target)

    if (room != "") {
      if (match(target, /^(mapping|dimse|web|gateway|tests)\//)) {
        other = substr(target, 1, index(target, "/") - 1)
        if (index(allowed[room], " " other " ") == 0) fault(room " must not include " target)
      } else if (target ~ /^\.\.?\// || $0 ~ /"/ && target !~ /\//) {
        fault("include it by its folder: " target)
      }

      if (target ~ /^rapidjson\// && FILENAME !~ /^mapping\/json[a-z_]*\.cpp$/ && FILENAME !~ /^web\/(problem|client_credentials)\.cpp$/)
        fault("RapidJSON belongs to mapping/json*.cpp, web/problem.cpp and web/client_credentials.cpp")
      if (target ~ /^tinyxml2/)
        fault("tinyxml2 belongs to tests (docs/decisions/001-xml-scanner.md)")
      if (target ~ /^iconv\.h/ && FILENAME !~ /^mapping\/character_[a-z_]*\.cpp$/)
        fault("iconv belongs to mapping/character_*.cpp")
      if (target ~ /^dcmtk\//) {
        if (room == "mapping" && (FILENAME != "mapping/dictionary.cpp" || target !~ /^dcmtk\/(dcmdata|config)\//))
          fault("mapping knows DCMTK in dictionary.cpp only, and of it dcmdata only")
        else if (room == "web" || room == "gateway")
          fault("DCMTK belongs to dimse")
        else if (header)
          fault("no DCMTK in our headers")
      }
      if (target ~ /^httplib/) {
        if (room != "web") fault("cpp-httplib belongs to web")
        else if (header) fault("no cpp-httplib in our headers")
      }
      if (target ~ /^openssl\// && room != "web" && FILENAME != "dimse/tls.cpp")
        fault("OpenSSL belongs to web and dimse/tls.cpp")
      if (target ~ /^(INIReader|ini\.h|CLI\/|CLI11|spdlog\/|sqlite3|SQLiteCpp\/)/ && room != "gateway")
        fault("command line, INI, log and SQLite libraries belong to gateway")
      if (target ~ /^catch2\//)
        fault("Catch2 belongs to tests")
    }
  }
' || echo "awk failed")

if [ -n "$faults" ]; then
  echo "$faults"
  exit 1
fi
echo "${#existing[@]} files keep the architecture"
