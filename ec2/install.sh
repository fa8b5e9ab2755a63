#!/usr/bin/env bash
# Makes sure that everything a backup runs is installed. Does nothing where it already is.
set -Eeuo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/packages.sh
. "$HERE/lib/packages.sh"

main() {
  local missing
  missing=$(missing_programs)
  [[ -n $missing ]] || return 0
  log "installing ${missing//$'\n'/, }"
  install_packages || fail install "could not install ${missing//$'\n'/, }: the package manager failed for $INSTALL_SECONDS seconds, see above"
  missing=$(missing_programs)
  [[ -z $missing ]] || fail install "could not install ${missing//$'\n'/, }"
}

main
