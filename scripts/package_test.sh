#!/usr/bin/env bash
# Builds the .deb and tries it: its contents, the unit file, a start from the unit's ExecStart command
# in a scratch root over its own store and over DCMTK's wlmscpfs, worklist queries, a stop, and removal.
# BUILD=DIRECTORY names a build directory with a built modgate; without it modgate is built.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

if [ -n "${BUILD:-}" ]; then build=$BUILD; else setup; build_target modgate; fi

scratch=$(mktemp -d)
gateway= ris=
clean_up() {
  local process
  for process in $gateway $ris; do kill "$process" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap clean_up EXIT

fail() { echo "package_test: $*" >&2; exit 1; }

say "building the package"
(cd "$build" && cpack -G DEB -B "$scratch/packages" >"$scratch/cpack.log" 2>&1) || { cat "$scratch/cpack.log"; exit 1; }
package=$(echo "$scratch"/packages/*.deb)
dpkg-deb --info "$package" >"$scratch/info"
grep -q '^ Depends: .*libdcmtk' "$scratch/info" || { cat "$scratch/info"; fail "the libraries are not among Depends"; }

say "installing it into a scratch root"
target=$scratch/target
mkdir -p "$target/var/lib/dpkg/info" "$target/var/lib/dpkg/updates"
touch "$target/var/lib/dpkg/status" "$target/var/lib/dpkg/available"
# Its maintainer scripts concern users and services of a whole system: fresh_machine_test.sh tries them.
dpkg-deb -e "$package" "$scratch/control"
for name in postinst prerm postrm; do sh -n "$scratch/control/$name" || fail "$name is no shell script"; done
[ "$(cat "$scratch/control/conffiles")" = /etc/modgate/modgate.ini ] || fail "the configuration is no conffile"
dpkg-deb -R "$package" "$scratch/unpacked"
rm "$scratch"/unpacked/DEBIAN/p*
dpkg-deb --root-owner-group -b "$scratch/unpacked" "$scratch/plain.deb" >/dev/null
dpkg_in_target() { dpkg --root="$target" --force-not-root --force-depends --force-bad-path --log="$scratch/dpkg.log" "$@"; }
dpkg_in_target -i "$scratch/plain.deb" >"$scratch/dpkg.out" 2>&1 || { cat "$scratch/dpkg.out"; fail "not installed"; }
for file in usr/bin/modgate etc/modgate/modgate.ini usr/lib/systemd/system/modgate.service usr/lib/sysusers.d/modgate.conf \
  usr/share/man/man8/modgate.8.gz usr/share/bash-completion/completions/modgate usr/share/doc/modgate/copyright; do
  [ -f "$target/$file" ] || fail "/$file is missing"
done

say "checking the unit file"
unit=$target/usr/lib/systemd/system/modgate.service
if command -v systemd-sysusers >/dev/null; then systemd-sysusers --root="$target" modgate.conf; fi
grep -q ^modgate: "$target/etc/passwd" || fail "modgate has no user"
if command -v systemd-analyze >/dev/null; then
  systemd-analyze verify --man=no --root="$target" modgate.service 2>"$scratch/verify" || true
  if grep -i 'modgate.service.*\(unknown\|failed to parse\|invalid\|ignoring\)' "$scratch/verify"; then fail "the unit has faults"; fi
fi

# start_gateway: from the unit's ExecStart, in the scratch root; sets dimse, web and admin from its ready line.
start_gateway() {
  "$target${command[0]}" check --config "$configuration" >/dev/null
  "$target${command[0]}" "${command[1]}" "$target${command[2]}" 2>"$scratch/log" &
  gateway=$!
  for _ in $(seq 100); do
    if grep -q ^ready "$scratch/log"; then break; fi
    kill -0 "$gateway" 2>/dev/null || { cat "$scratch/log"; fail "it ended"; }
    sleep 0.1
  done
  ready=$(grep ^ready "$scratch/log") || { cat "$scratch/log"; fail "it is not ready"; }
  echo "$ready"
  dimse=$(sed 's/.* dimse=[^ ]*:\([0-9]*\).*/\1/' <<<"$ready")
  web=$(sed 's/.* web=\([^ ]*\).*/\1/' <<<"$ready")
  admin=$(sed 's/.* admin=\([^ ]*\).*/\1/' <<<"$ready")
}

stop_gateway() {
  kill -TERM "$gateway"
  local code=0
  wait "$gateway" || code=$?
  gateway=
  [ "$code" = 0 ] || { cat "$scratch/log"; fail "it ended with $code"; }
}

say "starting it from the unit's ExecStart"
# The paths of a whole system become those of the scratch root, the ports free ones.
configuration=$target/etc/modgate/modgate.ini
sed -i "s#/var/lib/modgate#$target/var/lib/modgate#; s/^port = .*/port = 0/" "$configuration"
for directory in $(sed -n 's/^StateDirectory=//p' "$unit"); do mkdir -p "$target/var/lib/$directory"; done
cat >"$target/var/lib/modgate/worklist/one.json" <<'STEP'
[{"00080050":{"vr":"SH","Value":["A1"]},"00100010":{"vr":"PN","Value":[{"Alphabetic":"TEST^PACKAGE"}]},
"00100020":{"vr":"LO","Value":["P1"]},"0020000D":{"vr":"UI","Value":["2.25.1"]},
"00400100":{"vr":"SQ","Value":[{"00080060":{"vr":"CS","Value":["CT"]},"00400001":{"vr":"AE","Value":["CT1"]},
"00400002":{"vr":"DA","Value":["20260101"]},"00400003":{"vr":"TM","Value":["080000"]},"00400009":{"vr":"SH","Value":["S1"]}}]}}]
STEP
read -r -a command < <(sed -n 's/^ExecStart=//p' "$unit")
start_gateway

"$target${command[0]}" probe --config "$configuration" >"$scratch/probe" || { cat "$scratch/probe"; fail "probe finds a fault"; }
echoscu -aec MODGATE 127.0.0.1 "$dimse" || fail "no answer to C-ECHO"
findscu -W -aec MODGATE 127.0.0.1 "$dimse" -k PatientName= -k 'ScheduledProcedureStepSequence[0].Modality=CT' 2>&1 |
  grep 'TEST^PACKAGE' || fail "C-FIND did not find the scheduled step"
curl -sS --fail-with-body --max-time 10 "http://$web/modality-scheduled-procedure-steps?AccessionNumber=A1" |
  grep -q 'TEST^PACKAGE' || fail "Search did not find the scheduled step"
curl -sS --fail-with-body --max-time 10 "http://$admin/healthz" | grep -qx ok || fail "it does not say that it lives"
grep -q 'TEST^PACKAGE' "$scratch/log" && fail "a patient's name is in the log"

stop_gateway

say "asking a RIS: wlmscpfs in place of the embedded store"
mkdir -p "$scratch/worklists/RIS"
touch "$scratch/worklists/RIS/lockfile"
cat >"$scratch/step.dump" <<'STEP'
(0008,0050) SH [A2]
(0010,0010) PN [TEST^RIS]
(0010,0020) LO [P2]
(0020,000d) UI [2.25.2]
(0040,0100) SQ
(fffe,e000) na
(0008,0060) CS [CT]
(0040,0001) AE [CT1]
(0040,0002) DA [20260101]
(0040,0003) TM [080000]
(0040,0009) SH [S2]
(fffe,e00d) na
(fffe,e0dd) na
STEP
dump2dcm -q "$scratch/step.dump" "$scratch/worklists/RIS/step.wl"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
wlmscpfs -q -s -dfr -dfp "$scratch/worklists" "$port" &
ris=$!
for _ in $(seq 100); do
  if echoscu -q -aec RIS 127.0.0.1 "$port" 2>/dev/null; then break; fi
  sleep 0.1
done
sed -i "/^\[backend local\]/,\$d" "$configuration"
printf '[backend local]\nkind = scp\nae_title = RIS\nhost = 127.0.0.1\nport = %s\n' "$port" >>"$configuration"
# It offers no MPPS, which probe says.
if "$target${command[0]}" probe --config "$configuration" >"$scratch/probe"; then fail "probe finds no fault"; fi
grep -q '^  worklist  *ok' "$scratch/probe" || { cat "$scratch/probe"; fail "probe does not find the worklist"; }
grep -q '^  MPPS  *FAILED' "$scratch/probe" || { cat "$scratch/probe"; fail "probe does not say that there is no MPPS"; }
start_gateway
curl -sS --fail-with-body --max-time 10 "http://$web/modality-scheduled-procedure-steps?AccessionNumber=A2" |
  grep -q 'TEST^RIS' || fail "Search did not find the scheduled step of the RIS"
stop_gateway
kill "$ris"
wait "$ris" || true
ris=

say "removing it"
dpkg_in_target -r modgate >"$scratch/dpkg.out" 2>&1 || { cat "$scratch/dpkg.out"; fail "not removed"; }
[ ! -e "$target/usr/bin/modgate" ] || fail "/usr/bin/modgate is still there"
[ -e "$configuration" ] || fail "the configuration was removed without purge"
echo "the package is good: $(basename "$package")"
