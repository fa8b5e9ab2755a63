#!/usr/bin/env bash
# Tries this folder on a machine that has Debian's smallest system, git, make and python3, and
# nothing else: makes it anew, and does there what a newcomer does. It is removed at the end.
#   tools/bare.sh [SUITE [COMMAND...]]   SUITE is trixie, Debian 13, if not given
# Packages come from where this machine gets them. As root, on Debian; without root, through sudo.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/archive.sh
. tools/archive.sh

# What a newcomer does first. Then all tests are read, which needs all Python packages, and those
# run that call programs of Debian and take seconds.
TRY=$(
  cat <<'END'
set -e
make demo
make setup
.venv/bin/python -m pytest -q --collect-only >.cache/tests || { tail -n 40 .cache/tests; exit 1; }
.venv/bin/python -m pytest -q -n auto tests/docs tests/tools/test_{makefile,requirements,setup}.py \
  tests/templates/test_policies.py tests/local/test_{emulator_contract,sandbox}.py \
  tests/ec2/test_{backup_script,endings,walls}.py
left=$(find /tmp /var/tmp -mindepth 1) && [[ -z $left ]] || { echo "left behind: $left"; exit 1; }
END
)
readonly TRY
readonly PROJECT=/root/newcomer # not where this one is: tests look for their own processes

say() { printf '%s\n' "$*" >&2; }

# In mounts of its own, which end with it, however it ends.
install_debian() {
  local suite=$1 root=$2 log=$2.log
  codename >/dev/null || {
    say "bare.sh needs Debian, whose archive it can take packages from."
    return 2
  }
  unshare --mount debootstrap --variant=minbase --include=git,make,python3 \
    "$suite" "$root" "$(mirror)" >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    return 1
  }
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/bare" # it is not for keeping
}

# How this machine reaches the archives of Debian and Python; what it trusts there.
copy_ways() {
  local root=$1 file certificates=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}
  apt-config dump Acquire | sed '/Acquire::IndexTargets/d' >"$root/etc/apt/apt.conf.d/99host"
  for file in /etc/pip.conf /etc/xdg/pip "$HOME/.config/pip" "$HOME/.pip"; do
    [[ -e $file ]] || continue
    mkdir -p "$root/${file%/*}"
    cp -rL -- "$file" "$root/${file%/*}"
  done
  [[ ! -e $certificates ]] || cp -L -- "$certificates" "$root/etc/host-certificates.crt"
  cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  mkdir -p "$root$HOME"
}

# Runs a command in the project there. Bubblewrap's mounts and processes are gone when it ends.
enter() {
  local root=$1 name
  local -a environment=(HOME "$HOME" PATH /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
  shift
  while IFS= read -r name; do
    environment+=("$name" "${!name}")
  done < <(compgen -e | grep -E '^(PIP_.*|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY)$')
  [[ ! -e $root/etc/host-certificates.crt ]] || environment+=(PIP_CERT /etc/host-certificates.crt)
  local -a sets=()
  while ((${#environment[@]} > 0)); do
    sets+=(--setenv "${environment[@]:0:2}")
    environment=("${environment[@]:2}")
  done
  bwrap --unshare-pid --unshare-ipc --unshare-uts --die-with-parent --cap-add ALL \
    --dev-bind "$root" / --dev /dev --proc /proc --ro-bind /sys /sys --tmpfs /run \
    --clearenv "${sets[@]}" --chdir "$PROJECT" "$@"
}

main() {
  local suite=${1:-trixie}
  shift $(($# > 0))
  (($# > 0)) || set -- bash -c "$TRY"
  ((EUID == 0)) || exec sudo -E -- "$0" "$suite" "$@"
  mkdir -p .cache
  home=$(mktemp -d --tmpdir="$PWD/.cache" bare.XXXXXX)
  trap 'rm -rf --one-file-system -- "$home"' EXIT
  say "Making a bare $suite (a minute)"
  install_debian "$suite" "$home/root"
  copy_ways "$home/root"
  git clone --quiet --no-hardlinks . "$home/root$PROJECT"
  enter "$home/root" "$@"
}

main "$@"
