# shellcheck shell=bash
# The programs that a backup needs, on Amazon Linux (dnf) and on Debian and Ubuntu (apt).

missing_programs() {
  local program
  for program in rsync mount.efs; do
    command -v "$program" >/dev/null || printf '%s\n' "$program"
  done
}

install_packages() {
  if command -v dnf >/dev/null; then
    dnf -y -q install amazon-efs-utils rsync
  elif command -v apt-get >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get -y -q install rsync
  else
    fail 'neither dnf nor apt-get is here to install rsync'
  fi
}
