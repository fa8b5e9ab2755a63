#!/usr/bin/env bash
# A worker's own script: mounts what the run has mounted, copies what its queue asks for, and has the
# instance ended. Started by UserData; what it needs to know is in /etc/efs-backup.conf. Nothing is
# reported: what a worker does not do, others do, and the run's result names who has done what.
set -Eeuo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/run.sh
. "$HERE/lib/run.sh"

readonly TASK=copying LOGS=/var/log/efs-worker
# Without a list for so long, it ends itself.
IDLE_SECONDS=${IDLE_SECONDS:-180}
SPOT_SECONDS=${SPOT_SECONDS:-5}

# For a backup or for a restore, whichever names its target.
mount_trees() {
  if [[ -n $TARGET_EFS ]]; then
    mount_for_restore
    TREES=(--source /mnt/backup --target /mnt/target) KEPT=efs-restore-logs
  else
    mount_for_backup
    TREES=(--source /mnt/source --target /mnt/backup) KEPT=efs-backup-log
  fi
}

# Two minutes before EC2 takes a Spot Instance away, it says so: others get its lists at once.
watch_spot() {
  set +e
  [[ $(imds meta-data/instance-life-cycle 2>/dev/null) == spot ]] || return 0
  while sleep "$SPOT_SECONDS" && kill -0 "$$"; do # the script's process, not this one
    if imds meta-data/spot/instance-action 2>/dev/null; then
      log 'this Spot Instance is taken away; others get its lists'
      kill -TERM "$ENGINE"
      return
    fi
  done
}

# Exit statuses of the engine are no errors of this script.
copy() {
  "$HERE/efs-worker.sh" "${TREES[@]}" --workers-queue "$WORKERS_QUEUE" --lease "$LEASE_SECONDS" \
    --idle "$IDLE_SECONDS" --name "$INSTANCE_ID" --log-dir "$LOGS" &
  ENGINE=$!
  watch_spot &
  WATCHER=$!
  wait "$ENGINE" || log "the engine ended with exit status $?"
}

ship_logs() {
  local folder
  folder="$KEPT/workers/$(date -u +%Y%m%d-%H%M%S)-$INSTANCE_ID"
  ship "$MOUNT_LOG" "$folder/mount.log"
  ship /var/log/cloud-init-output.log "$folder/cloud-init-output.log"
}

# Without one in its place, as there was nothing to do or it cannot work: the run asks for another when
# that is worth it. If the group has no capacity by now, it ends this instance itself, and refuses.
# Only for a Spot Instance that is taken away there shall be another at once.
leave() {
  if imds meta-data/spot/instance-action &>/dev/null; then
    timeout 60 aws autoscaling terminate-instance-in-auto-scaling-group \
      --instance-id "$INSTANCE_ID" --no-should-decrement-desired-capacity
  else
    timeout 60 aws autoscaling terminate-instance-in-auto-scaling-group \
      --instance-id "$INSTANCE_ID" --should-decrement-desired-capacity
  fi
}

# The only way out. Each step is tried whatever became of the one before it.
on_exit() {
  local status=$?
  set +e
  explain "$status"
  [[ -z $WATCHER ]] || kill "$WATCHER"
  [[ -n $INSTANCE_ID ]] || INSTANCE_ID=$(imds meta-data/instance-id)
  ship_logs
  leave
}

main() {
  INSTANCE_ID='' WATCHER='' CAUSE='' FAILURE='' REPORT_OPTIONS=() TREES=() KEPT=efs-backup-log
  SOURCE_EFS='' TARGET_EFS='' UNDO_ID=''
  export PATH=/usr/local/bin:$PATH
  read_config /etc/efs-backup.conf
  trap on_exit EXIT
  configure_aws
  INSTANCE_ID=$(imds meta-data/instance-id)
  mkdir -p -- "$LOGS"
  install_programs
  mount_trees
  copy
}

main
