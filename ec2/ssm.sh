#!/usr/bin/env bash
# Ends a backup gracefully. Run on the instance through SSM when its termination has been decided:
# lets the running copies finish, waits for the report, and lets the group go on.
set -Eeuo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/instance.sh
. "$HERE/lib/instance.sh"

# Together they stay below the lifecycle hook's 15 minutes.
DRAIN_SECONDS=${DRAIN_SECONDS:-600}
REPORT_SECONDS=${REPORT_SECONDS:-180}

USAGE='give all of: ssm.sh --hook NAME --group NAME --instance ID --token TOKEN'

parse_arguments() {
  HOOK='' GROUP='' INSTANCE='' TOKEN=''
  while (($# > 1)); do
    case $1 in
      --hook) HOOK=$2 ;;
      --group) GROUP=$2 ;;
      --instance) INSTANCE=$2 ;;
      --token) TOKEN=$2 ;;
      *) fail usage "unknown argument $1; $USAGE" ;;
    esac
    shift 2
  done
  [[ $# == 0 && -n $HOOK && -n $GROUP && -n $INSTANCE && -n $TOKEN ]] || fail usage "$USAGE"
}

# The group must go on whatever happens here, or the instance would linger until the hook times out.
complete_hook() {
  log 'completing the lifecycle action'
  aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE \
    --lifecycle-hook-name "$HOOK" --auto-scaling-group-name "$GROUP" --instance-id "$INSTANCE" \
    --lifecycle-action-token "$TOKEN"
}

signal_engine() {
  local engine
  [[ -e $STATE/engine.pid ]] || return 0
  engine=$(<"$STATE/engine.pid")
  ! kill -TERM "$engine" 2>/dev/null || log "told the engine (process $engine) to stop"
}

reported_within() { # seconds
  local end=$((SECONDS + $1))
  until [[ -e $STATE/reported ]]; do
    ((SECONDS < end)) || return 1
    sleep 1
  done
}

stop_backup() {
  mkdir -p -- "$STATE"
  touch "$STATE/stop"
  signal_engine
  if ! reported_within "$DRAIN_SECONDS"; then
    log "the running copies did not finish within $DRAIN_SECONDS seconds; ending them"
    signal_engine
    reported_within "$REPORT_SECONDS" || fail silence 'the backup has not reported; its record is left to the orchestrator'
  fi
  log 'the backup has reported'
}

main() {
  parse_arguments "$@"
  read_config /etc/efs-backup.conf
  configure_aws
  trap complete_hook EXIT
  stop_backup
}

main "$@"
