# What the scripts of this folder share. Each is run by itself (bash test/deploy/systemd.sh) or by run.sh, ends with a
# client's `get` over mutual TLS, leaves nothing behind, and says `skipped: WHY` where it cannot run.
set -uo pipefail

P=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NODE=$P/node_modules/node/bin/node
[ -x "$NODE" ] || { echo 'FAILED the npm packages are not installed: run npm ci'; exit 1; }
export PATH=$P/node_modules/.bin:$PATH
W=$(mktemp -d /tmp/memseal-deploy.XXXXXX)
passed=0 failed=0
cleaners=()
at_end() { cleaners=("$*" "${cleaners[@]}"); }

finish() {
  local status=$? cleaner
  trap - EXIT INT TERM
  for cleaner in "${cleaners[@]}"; do eval "$cleaner" >>"$W/cleaning.log" 2>&1; done
  # Not across file systems: a mount that could not be undone must not lose what it shows.
  rm -rf --one-file-system "$W"
  [ "$status" -eq 0 ] && [ "$failed" -eq 0 ] || exit 1
}
trap finish EXIT
trap 'exit 1' INT TERM

skip() { echo "skipped: $*"; exit 0; }
ok() { passed=$((passed + 1)); echo "ok      $*"; }
fail() { failed=$((failed + 1)); echo "FAILED  $*"; }
# check WORDS COMMAND...: ok if the command succeeds; shows what it said if not.
check() {
  local words=$1; shift
  if "$@" >"$W/said" 2>&1; then ok "$words"; else fail "$words"; sed 's/^/        | /' "$W/said" | tail -n 30; return 1; fi
}
# need PACKAGE PROGRAM: installs Debian's package if the program is missing and this is root on Debian.
need() {
  local at
  for at in /usr/sbin /usr/bin /sbin /bin; do [ -x "$at/$2" ] && return; done
  command -v "$2" >/dev/null && return
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && install_package "$1" && command -v "$2" >/dev/null && return
  skip "there is no $2 (Debian: apt-get install $1)"
}
install_package() {
  local policy=/usr/sbin/policy-rc.d made=
  # Debian's packages start their services when they are installed; a machine's own policy stays as it is.
  [ -e $policy ] || { made=1; printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; }
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -qq -y --no-install-recommends "$1" >"$W/apt.log" 2>&1 ||
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends "$1"; } >"$W/apt.log" 2>&1
  local status=$?
  [ -z "$made" ] || rm -f $policy
  return $status
}
need_root() { [ "$(id -u)" = 0 ] || skip "this needs root"; }

# until_true SECONDS COMMAND...
until_true() {
  local end=$(($(date +%s) + $1)); shift
  until "$@" >/dev/null 2>&1; do [ "$(date +%s)" -lt "$end" ] || return 1; sleep 0.1; done
}
# number FIELD JSON: the number of that field.
number() { printf '%s' "$2" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }

certificates() { sh "$P/certs-dev/make.sh" --folder "$W/certs"; }

# The package as `npm publish` would send it: $W/memseal.tgz. Packed from a copy, since packing builds dist/.
pack() {
  local copy=$W/copy
  mkdir "$copy"
  cp -r "$P"/{src,bin,config,package.json,package-lock.json,.npmrc,tsconfig.json,README.md,CHANGELOG.md,LICENSE} "$copy"
  mkdir "$copy/test"; cp -r "$P/test/setup" "$copy/test"
  ln -s "$P/node_modules" "$copy/node_modules"
  (cd "$copy" && npm pack --silent --pack-destination "$W" >/dev/null) || return 1
  mv "$W"/memseal-*.tgz "$W/memseal.tgz"
}
