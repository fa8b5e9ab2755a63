# shellcheck shell=bash
# Messages and small helpers that every script shares.

log() {
  printf '%s  %s\n' "$(date -u +%FT%TZ)" "$*" >&2
}

# refuse MESSAGE: the arguments make no sense; nothing has been touched.
refuse() {
  # shellcheck disable=SC2034 # the exit path of the calling script reports it
  MESSAGE=$1
  log "refused: $1"
  exit 2
}

# fail CAUSE MESSAGE: the work was begun and cannot be finished. CAUSE is one word for programs.
fail() {
  # shellcheck disable=SC2034 # the exit path of the calling script reports both
  CAUSE=$1 MESSAGE=$2
  log "failed: $2"
  exit 1
}

# warn MESSAGE: something the user should know, although the work goes on.
warn() {
  log "warning: $1"
  printf '%s\n' "$1" >>"$WORK/warnings"
}

# A name as one printable word, whatever bytes it holds.
printable() {
  printf '%q' "$1"
}

# phase NAME: ends the phase before it and starts this one (empty: only ends).
# One line a phase in $WORK/phases: NAME START STOP, times in UTC.
phase() {
  local now
  now=$(date -u +%FT%TZ)
  if [[ -n ${PHASE:-} ]]; then
    printf '%s %s %s\n' "$PHASE" "$PHASE_START" "$now" >>"$WORK/phases"
  fi
  PHASE=$1
  PHASE_START=$now
}
