#!/usr/bin/env bash
# Installs what the project needs: Debian packages, then .venv with the pinned Python packages.
#   tools/setup.sh admin  .venv alone: what it takes to build, publish, deploy and operate
#   tools/setup.sh scan   .cache/scan alone: checkov, which wants a boto3 of its own
#   tools/setup.sh lock   .cache/lock alone: what pins the packages
#   tools/setup.sh demo   that, and what the demo needs
#   tools/setup.sh bench  that, and what the bench needs
#   tools/setup.sh        what the demo, the linters and all tests but those in a browser need
#   tools/setup.sh page   that, and the browser
#   tools/setup.sh python nothing: prints which Python it would take
# Exit 2: something is missing that this user may not install; says which command would.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
LOG=.cache/setup.log
DEBIAN_PACKAGES=(bubblewrap ca-certificates curl openssl rsync util-linux)
REQUIREMENTS=(requirements.txt)

say() { fold -s -w 79 <<<"$*" >&2; }

refuse() {
  say "$@"
  exit 2
}

# Shows in the background how a step gets on, until this process ends or the step does.
tick() {
  local began=$SECONDS line pause=4
  [[ ! -t 2 ]] || pause=1
  while sleep "$pause" &>/dev/null && kill -0 $$ 2>/dev/null; do
    line=$(tail -n 1 -- "$LOG" 2>/dev/null || :)
    line=${line%$'\r'} # apt-get gives dpkg a terminal
    line=${line##*$'\r'}
    printf -v line '%5d s  %s' $((SECONDS - began)) "${line//[^[:print:]]/}"
    if ((pause == 1)); then
      printf '\r\e[K%s' "${line:0:78}" >&2
    else
      say "${line:0:78}"
    fi
  done
}

# step TITLE COMMAND...: runs a command whose output is for the log, and shown when it fails. What
# takes longer than a few seconds shows its last line: on a terminal one that is written over.
step() {
  local ticker status=0
  say "$1"
  shift
  : >"$LOG"
  tick 9>&- &
  ticker=$!
  "$@" >"$LOG" 2>&1 || status=$?
  kill "$ticker" || :
  wait "$ticker" 2>/dev/null || :
  [[ ! -t 2 ]] || printf '\r\e[K' >&2
  ((status == 0)) || cat -- "$LOG" >&2
  return "$status"
}

# A compiler, what shows a program's calls, and what makes a machine for the NFS tests. Ubuntu does
# not have all of it, nor do other processors.
add_rig() {
  DEBIAN_PACKAGES+=(gcc libc6-dev strace)
  # shellcheck source=/dev/null
  if [[ $HOSTTYPE == x86_64 ]] && (. /etc/os-release && [[ $ID == debian ]]); then
    DEBIAN_PACKAGES+=(debootstrap patchelf)
  fi
}

# 100 MB, and 50 of what drives it. Ubuntu has it only as a snap.
add_browser() {
  # shellcheck source=/dev/null
  (. /etc/os-release && [[ $ID == debian ]]) || return 0
  DEBIAN_PACKAGES+=(chromium-headless-shell)
  REQUIREMENTS+=(requirements-page.txt)
}

# Before anything takes its time, rather than after it.
may_be_root() {
  ((EUID != 0)) || return 0
  command -v sudo >/dev/null || return
  sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo true; }
}

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3 python3.{11..14}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  refuse "Python 3.11 or newer is needed, and none of python3, python3.11 … python3.14 is."
}

# Of two that are run at once, one works and the other waits, and finds it done. The lock goes when
# this process ends, however it ends, and what works on .venv for it, which may outlive it. It is
# Python's to take, as not every system has a program for it.
lock() {
  local take='
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | int(sys.argv[1]) * fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(1)
except OSError:
    pass  # a file system that knows no locks
'
  mkdir -p .cache
  exec 9>>.cache/setup.lock
  "$1" -c "$take" 1 2>/dev/null || {
    say "Another set-up is at work in this folder: waiting for its end."
    "$1" -c "$take" 0
  }
}

missing_packages() {
  local package
  for package in "${DEBIAN_PACKAGES[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
  done
}

install_packages() {
  ((${#DEBIAN_PACKAGES[@]} > 0)) || return 0
  command -v dpkg-query >/dev/null ||
    refuse "Debian 12 or newer, or Ubuntu 24.04 or newer, is needed: dpkg-query is not here."
  local missing
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]} > 0)) || return 0

  local -a sudo=() install=(env DEBIAN_FRONTEND=noninteractive
    apt-get install --yes --no-install-recommends "${missing[@]}")
  if ((EUID != 0)); then
    if ! sudo -n true 2>/dev/null && ! { [[ -t 0 ]] && command -v sudo >/dev/null; }; then
      say "Debian packages are missing. Run this, then try again:"
      printf '\n%s\n\n' "sudo sh -c 'apt-get update && ${install[*]}'" >&2
      exit 2
    fi
    sudo=(sudo)
    sudo true # may ask for the password, which it could not while a step is shown
  fi
  # A service that a package starts would have the lock for ever.
  step "Updating the lists of Debian packages (seconds)" "${sudo[@]}" apt-get update 9>&- ||
    say "apt-get update failed; trying with the package lists at hand."
  step "Installing Debian packages (up to two minutes): ${missing[*]}" "${sudo[@]}" "${install[@]}" 9>&-
}

# A venv that an interrupted run left half made, that another Python made or that was moved here
# cannot be repaired reliably: it is made again.
venv_is_usable() {
  [[ ! -e $VENV/.incomplete ]] || return 1
  # Asking pip itself takes longer than all else that a command of an administrator does first.
  "$VENV/bin/python" -c 'import pip' &>/dev/null &&
    [[ $(<"$VENV/bin/pip") == *"$(cd -P "$VENV/bin" && pwd)/python"* ]] || return 1
  local pinned
  for pinned in "$VENV"/requirements*.txt; do
    cmp -s "$pinned" "${pinned##*/}" || return 1
  done
}

is_done() {
  ((${#DEBIAN_PACKAGES[@]} == 0)) || [[ -z $(missing_packages) ]] || return 1
  local file
  for file in "${REQUIREMENTS[@]}"; do
    [[ -e $VENV/$file ]] || return 1
  done
  venv_is_usable
}

make_venv() {
  local python=$1 file
  if ! venv_is_usable; then
    rm -rf "$VENV"
    mkdir -p "$VENV"
    touch "$VENV/.incomplete"
    step "Making $VENV, once (10 seconds)" "$python" -m venv "$VENV"
  fi
  for file in "${REQUIREMENTS[@]}"; do
    [[ -e $VENV/$file ]] && continue
    touch "$VENV/.incomplete"
    step "Installing Python packages, once (up to a minute): $file" \
      "$VENV/bin/python" -I -m pip install --no-input --disable-pip-version-check \
      --progress-bar off --require-hashes --requirement "$file"
    cp "$file" "$VENV/$file"
    rm "$VENV/.incomplete"
  done
}

main() {
  case ${1:-all} in
    admin) DEBIAN_PACKAGES=() ;;
    scan | lock)
      VENV=.cache/$1
      DEBIAN_PACKAGES=()
      REQUIREMENTS=("requirements-$1.txt")
      ;;
    demo)
      may_be_root || refuse "The demo's sandbox needs root: run this as root, or as a user who may use sudo."
      REQUIREMENTS+=(requirements-demo.txt)
      ;;
    bench)
      add_rig
      REQUIREMENTS+=(requirements-demo.txt requirements-bench.txt)
      ;;
    all | page)
      add_rig
      DEBIAN_PACKAGES+=(e2fsprogs locales procps shellcheck shfmt)
      REQUIREMENTS+=(requirements-demo.txt requirements-dev.txt)
      [[ ${1:-all} == all ]] || add_browser
      ;;
    python)
      find_python
      return
      ;;
    *) refuse "usage: tools/setup.sh [admin | demo | page | bench | scan | lock | python]" ;;
  esac
  local python
  python=$(find_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null || DEBIAN_PACKAGES+=(python3-venv)
  is_done || {
    lock "$python"
    install_packages
    make_venv "$python"
  }
}

main "$@"
