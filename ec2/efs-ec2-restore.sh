#!/usr/bin/env bash
# The restore instance's own script: mounts both file systems, brings a snapshot back, reports, and has
# the instance terminated. Started by UserData; what it needs to know is in /etc/efs-backup.conf.
set -Eeuo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/instance.sh
. "$HERE/lib/instance.sh"
# shellcheck source=lib/mount.sh
. "$HERE/lib/mount.sh"
# shellcheck source=lib/run.sh
. "$HERE/lib/run.sh"

readonly TASK=restore CONFIG=/etc/efs-backup.conf LOGS=/var/log/efs-restore RESULT=$STATE/result.json

mount_both() {
  mount_efs backup "$BACKUP_EFS" / /mnt/backup tls,iam,ro
  mount_efs target "$TARGET_EFS" / /mnt/target tls,iam
}

# Exit statuses of the engine are no errors of this script: the report says what happened.
restore() {
  local options=()
  [[ $DRY_RUN != Yes ]] || options+=(--dry-run)
  "$HERE/efs-restore-fpsync.sh" --backup /mnt/backup --folder "$FOLDER_LABEL" --interval "$INTERVAL_TAG" \
    --number "$BACKUP_NUM" --target /mnt/target --prefix "$RESTORE_PREFIX" --subdirectory "$RESTORE_SUBDIR" \
    --mode "$RESTORE_MODE" --log-dir "$LOGS" --result "$RESULT" "${options[@]}" 2>&1 |
    tee -- "$LOGS/restore.log" >&2 || REPORT_OPTIONS+=(--exit-status "${PIPESTATUS[0]}")
}

ship_logs() {
  ship "$LOGS" "$LOG_PREFIX/" --recursive
  ship "$MOUNT_LOG" "$LOG_PREFIX/mount.log"
  ship /var/log/cloud-init-output.log "$LOG_PREFIX/cloud-init-output.log"
}

# Prints the status.
write_report() {
  python3 -B "$HERE/lib/restore_report.py" --config "$CONFIG" --result "$RESULT" --failure "$FAILURE" \
    --engine-log "$LOGS/restore.log" --group "$GROUP" --start "$STARTED" \
    --logs "s3://$LOG_BUCKET/$LOG_PREFIX/" "${REPORT_OPTIONS[@]}" --message "$STATE/message.json"
}

# say MESSAGE WHAT_TO_DO: a notification that needs no report.
say() {
  printf '{\n    "Status": "Unknown",\n    "Message": "%s",\n    "WhatToDo": "%s",\n    "EC2Logs": "%s"\n}\n' \
    "$1" "$2" "s3://$LOG_BUCKET/$LOG_PREFIX/" >"$STATE/message.json"
}

# The e-mail may have no confirmed subscriber yet: the logs hold its text, too.
report() {
  local status
  if ! status=$(write_report); then
    status=Unknown
    say 'The EFS restore has ended, but its report could not be written.' \
      'See the logs in EC2Logs: restore.log says how the restore ended.'
  fi
  notify "EFS restore: $status"
  ship "$STATE/message.json" "$LOG_PREFIX/notification.json"
}

# An instance that nobody ends would run, and cost, for ever.
scale_in() {
  end_instance "$GROUP" && return
  say "The instance $INSTANCE_ID of the EFS restore could not end itself. It still runs, and costs." \
    'Delete its stack, or set the desired capacity of its Auto Scaling group to 0. How the restore ended is in the notification before this one.'
  notify 'EFS restore: the instance is still running'
}

# The only way out. Each step is tried whatever became of the one before it.
on_exit() {
  local status=$?
  set +e
  explain "$status"
  [[ -n $GROUP ]] || identify
  LOG_PREFIX="efs-restore-logs/$(date -u +%Y%m%d-%H%M%S)-$INSTANCE_ID"
  ship_logs
  report
  scale_in
}

main() {
  INSTANCE_ID='' GROUP='' FAILURE='' REPORT_OPTIONS=()
  STARTED=$(date -u +%FT%TZ)
  mkdir -p -- "$STATE" "$LOGS"
  export PATH=/usr/local/bin:$PATH
  read_config "$CONFIG"
  trap on_exit EXIT
  identify
  install_programs
  link_without_asking
  mount_both
  restore
}

main
