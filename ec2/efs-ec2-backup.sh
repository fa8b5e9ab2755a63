#!/usr/bin/env bash
# The backup instance's own script: mounts both file systems, makes a snapshot, reports, and has the
# instance terminated. Started by UserData; everything it needs to know is in /etc/efs-backup.conf.
#
# No signal is trapped here: bash 5.2 can end with a syntax error when a trapped signal arrives during
# a command substitution. To stop a run, ssm.sh leaves a flag and signals the engine.
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

readonly TASK=backup LOGS=/var/log/efs-backup RESULT=$STATE/result.json

# The lock item names the run that this instance was launched for.
claim_run() {
  local run
  run=$(aws dynamodb get-item --table-name "$TABLE_NAME" --consistent-read \
    --key '{"BackupId": {"S": "lock"}}' --query 'Item.Run.S' --output text)
  [[ $run != None ]] || fail "No backup run is registered in the table $TABLE_NAME; was the group's capacity changed by hand?"
  BACKUP_ID=$run
  aws dynamodb update-item --table-name "$TABLE_NAME" --key "{\"BackupId\": {\"S\": \"$BACKUP_ID\"}}" \
    --update-expression 'SET InstanceId = :instance' \
    --condition-expression 'BackupStatus = :running' \
    --expression-attribute-values "{\":instance\": {\"S\": \"$INSTANCE_ID\"}, \":running\": {\"S\": \"Running\"}}"
  log "backup $BACKUP_ID on instance $INSTANCE_ID"
}

mount_both() {
  mount_efs source "$SOURCE_EFS" "$BACKUP_PREFIX" /mnt/source tls,iam,ro
  mount_efs backup "$BACKUP_EFS" / /mnt/backup tls,iam
}

# Exit statuses of the engine are no errors of this script: its result says what happened.
make_snapshot() {
  [[ ! -e $STATE/stop ]] || return 0
  "$HERE/efs-backup-fpsync.sh" --source /mnt/source --backup /mnt/backup --folder "$FOLDER_LABEL" \
    --interval "$INTERVAL_TAG" --retain "$RETAIN" --log-dir "$LOGS" --result "$RESULT" &
  printf '%s\n' "$!" >"$STATE/engine.pid"
  # A stop that came before the engine could be signalled.
  [[ ! -e $STATE/stop ]] || kill -TERM "$!"
  wait "$!" || log "the engine ended with exit status $?"
}

ship_logs() {
  ship "$LOGS" "efs-backup-log/$RUN_LABEL/" --recursive
  ship /var/log/cloud-init-output.log "ec2-logs/$RUN_LABEL/cloud-init-output.log"
}

write_report() {
  [[ ! -e $STATE/stop ]] || REPORT_OPTIONS+=(--stopped)
  python3 -B "$HERE/lib/report.py" --result "$RESULT" --failure "$FAILURE" --table "$TABLE_NAME" \
    --backup-id "$BACKUP_ID" --logs "s3://$LOG_BUCKET/ec2-logs/$RUN_LABEL/" "${REPORT_OPTIONS[@]}" \
    --request "$STATE/update.json" --message "$STATE/message.json"
}

# What the record does not say, the topic must.
report() {
  write_report
  if [[ -z $BACKUP_ID ]] ||
    ! aws dynamodb update-item --cli-input-json "file://$STATE/update.json"; then
    log 'the record could not be updated; sending the result as a notification'
    notify 'EFS backup: the DynamoDB record could not be updated'
  fi
}

# The only way out. Each step is tried whatever became of the one before it.
on_exit() {
  local status=$?
  set +e
  explain "$status"
  RUN_LABEL="$(date -u +%Y%m%d-%H%M%S)-${BACKUP_ID:-$INSTANCE_ID}"
  ship_logs
  report
  touch "$STATE/reported"
  end_instance "$GROUP"
}

main() {
  BACKUP_ID='' INSTANCE_ID='' GROUP='' FAILURE='' REPORT_OPTIONS=()
  mkdir -p -- "$STATE" "$LOGS"
  export PATH=/usr/local/bin:$PATH
  read_config /etc/efs-backup.conf
  identify
  trap on_exit EXIT
  claim_run
  install_programs
  mount_both
  make_snapshot
}

main
