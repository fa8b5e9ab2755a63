#!/usr/bin/env bash
# The restore instance's own script: mounts both file systems, brings a snapshot back or undoes a
# restore, reports, and has the instance terminated. Started by UserData; what it needs to know is in /etc/efs-backup.conf.
set -Eeuo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/run.sh
. "$HERE/lib/run.sh"

readonly TASK=restore CONFIG=/etc/efs-backup.conf LOGS=/var/log/efs-restore RESULT=$STATE/result.json
readonly PROGRESS=$STATE/progress.json
PROGRESS_SECONDS=${PROGRESS_SECONDS:-10}
# What is left of the window when the engine is told to stop: for its running copies and the report.
readonly MINUTES_TO_STOP=15

# What the engine says of its progress goes beside the logs, for whoever watches. Nothing waits for
# this and nothing comes of its failure: each request is made once, and its errors have a log of their own.
watch_progress() {
  local shown=''
  set +e
  export AWS_MAX_ATTEMPTS=1
  while sleep "$PROGRESS_SECONDS" && kill -0 "$$"; do # the script's process, not this one
    [[ -e $PROGRESS && $(<"$PROGRESS") != "$shown" ]] || continue
    shown=$(<"$PROGRESS")
    aws s3 cp --no-progress --only-show-errors --cli-connect-timeout 5 --cli-read-timeout 5 \
      "$PROGRESS" "s3://$LOG_BUCKET/$LOG_PREFIX/progress.json"
  done
}

# After the next backup, a number means another snapshot. What it meant first is noted beside the logs
# until it is restored: an instance that takes the place of one that died, or is started again, goes on
# with the same snapshot. What is wrong with a number, the restore says.
fix_snapshot() {
  NOTE="s3://$LOG_BUCKET/efs-restore-logs/snapshots/$GROUP/$FOLDER_LABEL/$INTERVAL_TAG.$BACKUP_NUM"
  BACKUP_DATE=$(aws s3 cp --only-show-errors "$NOTE" - 2>/dev/null) || true
  [[ -z $BACKUP_DATE ]] || return 0
  BACKUP_DATE=$(python3 -B "$HERE/lib/snapshot_date.py" --folder "/mnt/backup/$FOLDER_LABEL" \
    --interval "$INTERVAL_TAG" --number "$BACKUP_NUM") || return 0
  note_snapshot "$BACKUP_DATE"
}

note_snapshot() { # date, or nothing when it is restored
  [[ -z $NOTE ]] || printf '%s' "$1" | aws s3 cp --only-show-errors - "$NOTE" ||
    log 'the snapshot could not be noted; if this instance dies, the number counts again'
}

# Sets COMMAND to what the parameters ask for. They are data: each is one word.
choose_command() {
  local options=(--target /mnt/target --prefix "$RESTORE_PREFIX" --log-dir "$LOGS" --result "$RESULT"
    --progress "$PROGRESS")
  [[ $DRY_RUN != Yes ]] || options+=(--dry-run)
  if [[ -n $UNDO_ID ]]; then
    COMMAND=("$HERE/efs-undo.sh" --id "$UNDO_ID" --yes "${options[@]}")
    return
  fi
  if [[ -n $BACKUP_DATE ]]; then
    options+=(--snapshot "$BACKUP_DATE")
  else
    options+=(--number "$BACKUP_NUM")
  fi
  COMMAND=("$HERE/efs-restore.sh" --backup /mnt/backup --folder "$FOLDER_LABEL"
    --interval "$INTERVAL_TAG" --path "$RESTORE_SUBDIR" --mode "$RESTORE_MODE" "${WORKER_OPTIONS[@]}" "${options[@]}")
}

# Exit statuses of the engine are no errors of this script: the report says what happened.
restore() {
  local minutes=$RESTORE_WINDOW
  if [[ $BACKUP_DATE =~ ^(daily|weekly|monthly)\.([0-9]+)$ ]]; then
    INTERVAL_TAG=${BASH_REMATCH[1]} BACKUP_NUM=${BASH_REMATCH[2]} BACKUP_DATE=''
  fi
  [[ -n $UNDO_ID || -n $BACKUP_DATE ]] || fix_snapshot
  worker_options
  choose_command
  watch_progress >"$LOGS/progress.log" 2>&1 &
  WATCHER=$!
  if timeout --foreground --preserve-status "$(((minutes - MINUTES_TO_STOP) * 60))" "${COMMAND[@]}" 2>&1 |
    tee -- "$LOGS/restore.log" >&2; then
    note_snapshot ''
  else
    REPORT_OPTIONS+=(--exit-status "${PIPESTATUS[0]}")
  fi
}

log_prefix() {
  printf 'efs-restore-logs/%s-%s' "$(date -u +%Y%m%d-%H%M%S)" "$INSTANCE_ID"
}

ship_logs() {
  [[ -s $LOGS/progress.log ]] || rm -f -- "$LOGS/progress.log"
  ship "$LOGS" "$LOG_PREFIX/" --recursive
  ship "$MOUNT_LOG" "$LOG_PREFIX/mount.log"
  ship /var/log/cloud-init-output.log "$LOG_PREFIX/cloud-init-output.log"
}

# Prints the status.
write_report() {
  make_last_report restore --config "$CONFIG" --engine-log "$LOGS/restore.log" --group "$GROUP" \
    --start "$STARTED" --logs "s3://$LOG_BUCKET/$LOG_PREFIX/"
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
  end_workers
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
  [[ -z $WATCHER ]] || kill "$WATCHER"
  [[ -n $GROUP ]] || identify
  : "${LOG_PREFIX:=$(log_prefix)}"
  ship_logs
  report
  scale_in
}

main() {
  INSTANCE_ID='' GROUP='' LOG_PREFIX='' NOTE='' WATCHER='' CAUSE='' FAILURE='' REPORT_OPTIONS=()
  STARTED=$(date -u +%FT%TZ)
  export PATH=/usr/local/bin:$PATH
  read_config "$CONFIG"
  mkdir -p -- "$STATE" "$LOGS"
  trap on_exit EXIT
  identify
  LOG_PREFIX=$(log_prefix)
  install_programs
  link_without_asking
  mount_for_restore
  restore
}

main
