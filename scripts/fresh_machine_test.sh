#!/usr/bin/env bash
# Tries the package as a new user would, on a Debian 12 that has nothing of ours: debootstrap's base system,
# its own systemd as the first process, an ordinary user who may use sudo. The commands are those of README.md
# and docs/operations.md as they stand there (tests/end_to_end/fresh_machine.test.js). The machine has no
# network; what apt is to install there lies in its cache. It lives in namespaces and a cgroup of its own,
# in memory, and ends with this script.
#
#   scripts/fresh_machine_test.sh                          BUILD=DIRECTORY names a build directory with a built modgate
#   scripts/fresh_machine_test.sh --build [ARGUMENT…]      first runs scripts/test.sh, with these arguments, on the
#                                                          fresh machine, on the disk and with the network, from
#                                                          the last commit; the package is made of that
#
# Exit status 77: it cannot be done on this machine, and why. CTest shows it as skipped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

release=bookworm
user=integrator
tests=$root/tests/end_to_end
fail() { echo "fresh_machine_test: $*" >&2; exit 1; }
skip() { echo "fresh_machine_test: skipped: $*" >&2; exit 77; }

# --- inside: in the machine's namespaces -----------------------------------------------------------

# enter MACHINE COMMAND...: becomes the command with the machine's directory as its root, and devices of its own.
# What would reach the kernel that it shares with others can only be read.
enter() {
  local device
  cd "$1"
  shift
  mount -t proc proc proc
  mount --bind proc/sys proc/sys
  mount -o remount,ro,bind proc/sys
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs -o mode=755 tmpfs dev
  mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
  mount -t tmpfs tmpfs dev/shm
  ln -s pts/ptmx dev/ptmx
  for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
  done
  ln -s /proc/self/fd dev/fd
  for device in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${device%:*}" "dev/${device#*:}"; done
  mkdir outside
  pivot_root . outside
  umount -l outside
  rmdir outside
  exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 container=other \
    setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog,-audit_control,-audit_read "$@"
}

# in_machine [OPTION OF unshare...] COMMAND...
in_machine() {
  local options=()
  while [[ $1 == --* ]]; do options+=("$1"); shift; done
  exec unshare --pid --mount --uts --ipc --cgroup --fork --kill-child "${options[@]}" bash "$0" --enter "$machine" "$@"
}

as_user() { (in_machine runuser -l "$user" -c "$*"); }

# --- between: the mounts and processes of this script, which end with it ----------------------------------

make_machine() {
  say "a fresh Debian $release, from $mirror"
  mkdir -p "$cache/debootstrap" "$cache/apt" "$machine"
  # What the installer puts on a server: the base system, sudo, the SSH server, the standard system utilities.
  debootstrap --cache-dir="$cache/debootstrap" --include="dbus,sudo,openssh-server,man-db,git" "$release" "$machine" "$mirror" \
    >"$scratch/debootstrap.log" 2>&1 || { tail -n 30 "$scratch/debootstrap.log"; fail "debootstrap failed"; }
  mount --bind "$machine" "$machine"
  find "$cache/apt" -name '*.deb' -exec cp -t "$machine/var/cache/apt/archives" {} +
  echo "$sources" >"$machine/etc/apt/sources.list"
  # Who types the commands says yes; and the cache is kept.
  cat >"$machine/etc/apt/apt.conf.d/fresh" <<'CONF'
APT::Get::Assume-Yes "true";
APT::Keep-Downloaded-Packages "true";
Binary::apt::APT::Keep-Downloaded-Packages "true";
CONF
  cp /etc/resolv.conf /etc/hosts "$machine/etc/"
  chroot "$machine" useradd --create-home --shell /bin/bash --groups sudo "$user"
  # No question for a password, and the pager that the terminal has chosen.
  printf '%s ALL=(ALL:ALL) NOPASSWD: ALL\nDefaults env_keep += "SYSTEMD_PAGER"\n' "$user" >"$machine/etc/sudoers.d/$user"
  home=$(chroot "$machine" getent passwd "$user" | cut -d: -f6)
  (in_machine apt-get update -q) >"$scratch/apt.log" 2>&1 || { cat "$scratch/apt.log"; fail "apt-get update failed"; }
}

# The whole of "Two commands" in README.md; the machine uses the network and npm's registry as this one does.
build_there() {
  say "scripts/test.sh $* on the fresh machine"
  git clone -q "$root" "$machine$home/modgate"
  chroot "$machine" chown -R "$user:" "$home/modgate"
  local settings
  settings="export npm_config_registry=$(npm config get registry);"
  if [ -f "${NODE_EXTRA_CA_CERTS:-}" ]; then
    cp "$NODE_EXTRA_CA_CERTS" "$machine/usr/local/share/more-certificates.pem"
    settings+=" export NODE_EXTRA_CA_CERTS=/usr/local/share/more-certificates.pem;"
  fi
  as_user "$settings cd modgate && scripts/test.sh $*"
  as_user "cd modgate && $make_package"
  mv "$machine$home"/modgate/build/*.deb "$machine$home/build/"
}

between() {
  if [ "${1:-}" != --build ]; then mount -t tmpfs -o size=3g,mode=755 tmpfs "$scratch"; fi
  machine=$scratch/machine
  make_machine
  mkdir "$machine$home/build"
  if [ "${1:-}" = --build ]; then
    build_there "${@:2}"
  else
    cp "$packages"/*.deb "$machine$home/build/"
  fi
  (in_machine apt-get install -q --download-only "$home/build/$(cd "$machine$home/build" && echo *.deb)" dcmtk curl) >"$scratch/apt.log" 2>&1 ||
    { cat "$scratch/apt.log"; fail "apt-get finds not all of what the package needs"; }
  if [ "${1:-}" != --build ]; then cp -u "$machine"/var/cache/apt/archives/*.deb "$cache/apt/"; fi
  chroot "$machine" chown -R "$user:" "$home/build"
  rm "$machine/etc/resolv.conf"
  echo gateway >"$machine/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 gateway\n' >"$machine/etc/hosts"

  say "booting it"
  mkdir "$cgroup/machine"
  (
    echo "$BASHPID" >"$cgroup/machine/cgroup.procs"
    in_machine --net /sbin/init systemd.log_target=journal
  ) &
  local outer=$! state='' i
  for ((i = 0; i < 300; ++i)); do
    init=$(pgrep -P "$outer" || true)
    if [ -n "$init" ] && [ "$(cat "/proc/$init/comm")" = systemd ]; then
      state=$(nsenter -t "$init" -a systemctl is-system-running --wait 2>/dev/null || true)
      if [ "$state" = running ] || [ "$state" = degraded ]; then break; fi
    fi
    kill -0 "$outer" || fail "its first process ended"
    sleep 0.1
  done
  if [ "$state" != running ]; then
    nsenter -t "$init" -a systemctl --failed || true
    fail "it is not running after 30 s, but '$state'"
  fi
  MACHINE=$init MACHINE_USER=$user node --test --test-reporter=spec "$tests/fresh_machine.test.js"
  say "shutting it down"
  nsenter -t "$init" -a systemctl poweroff
  wait "$outer" || true
}

# --- outside ---------------------------------------------------------------------------------------

if [ "${1:-}" = --enter ]; then shift; enter "$@"; fi

if [ "${1:-}" = --between ]; then
  shift
  scratch=$1 cgroup=$2 cache=$3 packages=$4 mirror=$5 sources=$6 make_package=$7
  shift 7
  between "$@"
  exit
fi

[ "$(id -u)" = 0 ] || skip "it needs root"
command -v debootstrap >/dev/null || skip "there is no debootstrap"
unshare --mount --propagation private --pid --fork --net --uts --ipc --cgroup --mount-proc \
  mount -t tmpfs tmpfs /mnt 2>/dev/null || skip "namespaces or mounts are not allowed"
cgroups=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
cgroup=$cgroups/modgate-fresh-machine-$$
{ [ -n "$cgroups" ] && mkdir "$cgroup"; } 2>/dev/null || skip "there is no cgroup v2, or it cannot be written"

scratch=$(mktemp -d -p /var/tmp modgate-fresh-XXXXXX)
child=
clean_up() {
  trap - EXIT
  trap '' INT TERM
  # All of its namespaces' processes end with the first, and their mounts with them.
  if [ -n "$child" ]; then
    kill -KILL "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  until grep -qx 'populated 0' "$cgroup/cgroup.events"; do sleep 0.1; done
  find "$cgroup" -depth -type d -exec rmdir {} +
  rm -rf --one-file-system "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

targets=$(apt-get indextargets --format '$(CREATED_BY) $(ORIGIN) $(COMPONENT) deb $(SITE) $(RELEASE) $(COMPONENT)' |
  sed -n "s/^Packages Debian main \(deb [^ ]* $release[^ ]* main\)\$/\1/p" | sort -u)
mirror=$(awk -v release="$release" '$3 == release { print $2; exit }' <<<"$targets")
[ -n "$mirror" ] || skip "apt knows no mirror of Debian $release here"
curl -sSf --max-time 20 -o /dev/null "$mirror/dists/$release/InRelease" || skip "the mirror does not answer"

make_package=$(node "$tests/support/documents.js" fresh_machine '^\(cd build && cpack')
if [ "${1:-}" != --build ]; then
  if [ -n "${BUILD:-}" ]; then build=$BUILD; else setup; build_target modgate; fi
  say "building the package"
  rm -f "$build"/modgate_*.deb
  eval "${make_package/cd build/cd '"$build"'}" >"$scratch/cpack.log" 2>&1 || { cat "$scratch/cpack.log"; fail "no package"; }
fi
mkdir -p "$build"
(
  echo "$BASHPID" >"$cgroup/cgroup.procs"
  exec setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
    bash "$0" --between "$scratch" "$cgroup" "$build/fresh_machine" "$build" "$mirror" "$targets" "$make_package" "$@"
) &
child=$!
code=0
wait "$child" || code=$?
child=
exit $code
