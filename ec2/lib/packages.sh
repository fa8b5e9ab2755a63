# shellcheck shell=bash
# The programs that a backup needs, on Amazon Linux (dnf) and on Debian and Ubuntu (apt).

missing_programs() {
  local program
  for program in rsync fpart fpsync mount.efs; do
    command -v "$program" >/dev/null || printf '%s\n' "$program"
  done
}

install_packages() { # fpart's source
  if command -v dnf >/dev/null; then
    dnf -y -q install amazon-efs-utils rsync gcc make tar gzip
    # Not in Amazon Linux's repositories.
    command -v fpsync >/dev/null || build_fpart "$1" /usr/local
  elif command -v apt-get >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get -y -q install rsync fpart
  else
    fail 'neither dnf nor apt-get is here to install rsync and fpart'
  fi
}

build_fpart() ( # source tarball, prefix
  build=$(mktemp -d)
  trap 'rm -rf -- "$build"' EXIT
  tar -xzf "$1" --strip-components=1 -C "$build"
  cd -- "$build" || exit
  ./configure --quiet --prefix="$2"
  make --silent install
)
