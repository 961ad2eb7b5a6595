#!/usr/bin/env bash
# Starts a real Kubernetes, runs the tests of this folder in its network, and ends it: `npm run test:kubernetes`.
# The binaries are built from Go modules the first time (about 8 minutes on two cores) and kept in a cache; where they
# cannot be had (no Go, no root), the tests run all the same and count as skipped.
# usage: run.sh [tap's arguments]
set -euo pipefail
cd "$(dirname "$0")/../.."
here=test/kubernetes
export BIN=${SIDEBEARER_KUBERNETES_BIN:-${XDG_CACHE_HOME:-$HOME/.cache}/sidebearer/kubernetes}
files=("$here"/*.test.ts)
[ "$#" -gt 0 ] || set -- --reporter=terse

why=''
[ "$(id -u)" -eq 0 ] || why='it needs root'
for command in ip nsenter openssl runc; do command -v "$command" >/dev/null || why=${why:-"$command is not installed"}; done
if [ -z "$why" ]; then
  if command -v go >/dev/null; then
    mkdir -p "$BIN"
    bash "$here/build.sh" "$BIN" || why='the binaries could not be built'
  else
    [ -x "$BIN/kube-apiserver" ] || why='Go is not installed'
  fi
fi
if [ -n "$why" ]; then
  SIDEBEARER_KUBERNETES_MISSING=$why exec npx tap --disable-coverage "$@" "${files[@]}"
fi

work=$(mktemp -d)
export NS=sidebearer-$$
finish() {
  status=$?
  bash "$here/node.sh" down "$work" >/dev/null 2>&1 || true
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
# A machine that is busy may need a second try.
for try in 1 2; do
  bash "$here/node.sh" up "$work" >"$work.log" 2>&1 && break
  tail -n 20 "$work.log"
  [ "$try" = 1 ] || exit 1
  bash "$here/node.sh" down "$work" >/dev/null 2>&1 || true
done
rm -f "$work.log"
SIDEBEARER_KUBERNETES=$work bash "$here/node.sh" run "$work" npx tap --disable-coverage --jobs=1 "$@" "${files[@]}"
