# shellcheck shell=bash
# Messages. Scripts that end on purpose do so through `fail`, so that their EXIT path can say why.

# A disk that is too full for a message ends nothing.
log() {
  TZ=UTC printf '%(%FT%TZ)T  %s\n' -1 "$*" >&2 || true
}

# fail MESSAGE: ends the script; the message is what the user is told.
fail() {
  # shellcheck disable=SC2034 # read by the EXIT path of the calling script
  FAILURE=$1
  log "failed: $1"
  exit 1
}
