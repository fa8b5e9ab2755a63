# shellcheck shell=bash
# The programs that a backup needs, on Amazon Linux (dnf) and on Debian and Ubuntu (apt).

missing_programs() {
  local program
  for program in rsync mount.efs; do
    command -v "$program" >/dev/null || printf '%s\n' "$program"
  done
}

INSTALL_SECONDS=${INSTALL_SECONDS:-300}
INSTALL_PAUSE=${INSTALL_PAUSE:-15}

# At boot others install, too, and hold the lock; and a repository may fail for a moment.
install_packages() {
  local end=$((SECONDS + INSTALL_SECONDS))
  until install_once; do
    ((SECONDS < end)) || return 1
    log 'the installation failed; trying again'
    sleep "$INSTALL_PAUSE"
  done
}

install_once() {
  if command -v dnf >/dev/null; then
    dnf -y -q install amazon-efs-utils rsync
  elif command -v apt-get >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get -y -q install rsync
  else
    fail install 'neither dnf nor apt-get is here to install rsync'
  fi
}
