# shellcheck shell=bash
# Where this machine has its Debian packages from; to be sourced.

codename() (
  # shellcheck source=/dev/null
  . /etc/os-release && [[ $ID == debian ]] && printf '%s' "$VERSION_CODENAME"
)

mirror() {
  # shellcheck disable=SC2016 # apt-get expands these
  apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk -v codename="$(codename)" '$1 == codename { print $2; found = 1; exit }
      END { exit !found }' || {
    echo "apt-get names no archive of this release." >&2
    return 1
  }
}
