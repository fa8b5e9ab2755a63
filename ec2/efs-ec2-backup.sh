#!/usr/bin/env bash
# The backup instance's own script: mounts both file systems, makes a snapshot, reports, and has the
# instance terminated. Started by UserData; everything it needs to know is in /etc/efs-backup.conf.
#
# No signal is trapped here: bash 5.2 can end with a syntax error when a trapped signal arrives during
# a command substitution. To stop a run, ssm.sh leaves a flag and signals the engine.
set -Eeuo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib/run.sh
. "$HERE/lib/run.sh"

readonly TASK=backup LOGS=/var/log/efs-backup RESULT=$STATE/result.json PROGRESS=$STATE/progress.json
PROGRESS_SECONDS=${PROGRESS_SECONDS:-20}

# None if there is none.
active_run() {
  aws dynamodb get-item --table-name "$TABLE_NAME" --consistent-read \
    --key '{"BackupId": {"S": "lock"}}' --query 'Item.Run.S' --output text
}

# The lock item names the run that this instance was launched for. Its record says from now on what
# was launched and where the logs will be: this instance may not live to report.
claim_run() {
  local run values image
  run=$(active_run)
  [[ $run != None ]] || fail no-run "No backup run is registered in the table $TABLE_NAME; was the group's capacity changed by hand?"
  BACKUP_ID=$run
  RUN_LABEL="$(date -u +%Y%m%d-%H%M%S)-$BACKUP_ID"
  image=$(imds meta-data/ami-id)
  printf -v values '{":instance": {"S": "%s"}, ":image": {"S": "%s"}, ":logs": {"S": "%s"}, ":running": {"S": "Running"}}' \
    "$INSTANCE_ID" "$image" "s3://$LOG_BUCKET/ec2-logs/$RUN_LABEL/"
  aws dynamodb update-item --table-name "$TABLE_NAME" --key "{\"BackupId\": {\"S\": \"$BACKUP_ID\"}}" \
    --update-expression 'SET InstanceId = :instance, AmiId = :image, EC2Logs = :logs' \
    --condition-expression 'BackupStatus = :running' --expression-attribute-values "$values" ||
    fail record "The record of the backup $BACKUP_ID in the table $TABLE_NAME cannot be updated, or the backup is over"
  log "backup $BACKUP_ID on instance $INSTANCE_ID"
}

# What the engine says of its progress goes into the record, for whoever watches. Nothing waits for
# this and nothing comes of its failure: each request is made once, and its errors have a log of their own.
watch_progress() {
  set +e
  export AWS_MAX_ATTEMPTS=1
  while sleep "$PROGRESS_SECONDS" && kill -0 "$$"; do # the script's process, not this one
    [[ -e $PROGRESS ]] || continue
    make_report progress --progress "$PROGRESS" --table "$TABLE_NAME" \
      --backup-id "$BACKUP_ID" --instance "$INSTANCE_ID" --request "$STATE/progress-update.json" &&
      aws dynamodb update-item --cli-connect-timeout 5 --cli-read-timeout 5 \
        --cli-input-json "file://$STATE/progress-update.json"
  done
}

# What was asked of single snapshots from outside: the engine does it first of all.
fetch_requests() {
  local asked=$STATE/asked.json
  REQUESTS=()
  if aws dynamodb get-item --table-name "$TABLE_NAME" --consistent-read --query Item --output json \
    --key '{"BackupId": {"S": "requests"}}' >"$asked"; then
    make_report requests --item "$asked" --write "$STATE/requests.json"
    [[ ! -e $STATE/requests.json ]] || REQUESTS=(--requests "$STATE/requests.json")
  else
    warn 'what was asked of snapshots could not be fetched from the table; the next backup tries again'
  fi
}

# What has an answer is not asked for any more. If this fails, the next backup finds it done.
forget_requests() {
  local request=$STATE/answered.json
  make_report answers --result "$RESULT" --table "$TABLE_NAME" --write "$request" || return 0
  [[ ! -e $request ]] || aws dynamodb update-item --cli-input-json "file://$request" ||
    warn 'what was done to snapshots could not be removed from the requests in the table'
}

# Exit statuses of the engine are no errors of this script: its result says what happened.
# An instance that was killed keeps its lock on the folder until its lease on NFS ends.
make_snapshot() {
  local engine caches=()
  [[ ! -e $STATE/stop ]] || return 0
  fetch_requests
  worker_options
  [[ $EXCLUDE_CACHES != Yes ]] || caches=(--exclude-caches)
  "$HERE/efs-backup.sh" --source /mnt/source --backup /mnt/backup --folder "$FOLDER_LABEL" \
    --interval "$INTERVAL_TAG" --retain "$RETAIN" --retain-weekly "$RETAIN_WEEKLY" --retain-monthly "$RETAIN_MONTHLY" \
    --hold-on-change-percent "$HOLD_ON_CHANGE_PERCENT" --verify-percent "$VERIFY_PERCENT" \
    --restore-test-percent "$RESTORE_TEST_PERCENT" --max-failed-percent "$MAX_FAILED_PERCENT" \
    --exclude-patterns="$EXCLUDE_PATTERNS" "${caches[@]}" --lock-wait 180 \
    --log-dir "$LOGS" --result "$RESULT" --progress "$PROGRESS" --catalogs "$STATE/catalog" "${REQUESTS[@]}" \
    "${WORKER_OPTIONS[@]}" &
  engine=$!
  printf '%s\n' "$engine" >"$STATE/engine.pid"
  # A stop that came before the engine could be signalled.
  [[ ! -e $STATE/stop ]] || kill -TERM "$engine"
  watch_progress >"$LOGS/progress.log" 2>&1 &
  WATCHER=$!
  wait "$engine" || ENGINE_STATUS=$?
  ((ENGINE_STATUS == 0)) || log "the engine ended with exit status $ENGINE_STATUS"
}

# An engine that was killed left its logs where it worked.
collect_logs() {
  local log output
  for log in "${TMPDIR:-/var/tmp}"/efs-backup.*/*.log; do
    [[ -s $log ]] || continue
    output=$(cp -- "$log" "$LOGS/" 2>&1) || warn "the log ${log##*/} could not be kept: $(last_line "$output")"
  done
  [[ -s $LOGS/progress.log ]] || rm -f -- "$LOGS/progress.log"
}

ship_logs() {
  collect_logs
  ship "$LOGS" "efs-backup-log/$RUN_LABEL/" --recursive
  ship "$MOUNT_LOG" "efs-backup-log/$RUN_LABEL/mount.log"
  ship /var/log/cloud-init-output.log "ec2-logs/$RUN_LABEL/cloud-init-output.log"
}

# The bucket gets what it does not have yet, and loses the catalogs of snapshots that are gone. What this
# one leaves undone the next does.
ship_catalogs() {
  local output
  [[ -d $STATE/catalog ]] || return 0
  output=$(aws s3 sync --delete --no-progress --only-show-errors "$STATE/catalog/" \
    "s3://$LOG_BUCKET/catalog/$FOLDER_LABEL/" 2>&1) ||
    warn "the catalogs could not be uploaded to s3://$LOG_BUCKET/catalog/; the next backup tries again: $(last_line "$output")"
}

write_report() {
  [[ ! -e $STATE/stop ]] || REPORT_OPTIONS+=(--stopped)
  make_last_report backup --exit-status "$ENGINE_STATUS" --table "$TABLE_NAME" --backup-id "$BACKUP_ID" \
    --instance "$INSTANCE_ID" --logs "s3://$LOG_BUCKET/ec2-logs/$RUN_LABEL/" --topic "$TOPIC_ARN" \
    --request "$STATE/update.json"
}

# What the record says of status and instance, separated by a tab; None where it says nothing.
recorded() {
  aws dynamodb get-item --table-name "$TABLE_NAME" --consistent-read \
    --key "{\"BackupId\": {\"S\": \"$BACKUP_ID\"}}" \
    --query '[Item.BackupStatus.S, Item.InstanceId.S]' --output text || printf 'None\tNone'
}

# Whoever reads the record, or the notification, is told of a mass change by now: until then each backup
# says it again.
note_told() {
  ! grep -q '"MassChange"' "$STATE/$1" || rm -f -- "/mnt/backup/$FOLDER_LABEL/.$INTERVAL_TAG.untold"
}

# What the record does not say, the topic must: unless the run is over, and so notified, or another
# instance goes on with it.
report() {
  local state
  write_report
  if [[ -n $BACKUP_ID ]]; then
    ! aws dynamodb update-item --cli-input-json "file://$STATE/update.json" || {
      note_told update.json
      return 0
    }
    state=$(recorded)
    [[ $state == *$'\t'"$INSTANCE_ID" || $state == *$'\tNone' ]] || REPLACED=yes
    if [[ -n $REPLACED || $state != @(Running|None)$'\t'* ]]; then
      log "the backup is over, or another instance goes on with it: $state"
      return 0
    fi
  fi
  log 'the record could not be updated; sending the result as a notification'
  notify 'EFS backup: the DynamoDB record could not be updated' && note_told message.json
}

# The capacity is that of the run that holds the lock, or of the instance that goes on with this one. A
# start that comes now waits until this is done: see LEAVING in the orchestrator.
scale_in() {
  local run
  [[ -z $REPLACED ]] || return 0
  if [[ -n $BACKUP_ID ]] && run=$(active_run) && [[ $run != "$BACKUP_ID" ]]; then
    log "the capacity of the group is not for this run to set any more; the active run: $run"
    return 0
  fi
  end_workers
  end_instance "$GROUP"
}

# The only way out. Each step is tried whatever became of the one before it.
on_exit() {
  local status=$?
  set +e
  explain "$status"
  [[ -z $WATCHER ]] || kill "$WATCHER"
  [[ -n $GROUP ]] || identify
  : "${RUN_LABEL:=$(date -u +%Y%m%d-%H%M%S)-$INSTANCE_ID}"
  ship_logs
  ship_catalogs
  [[ ! -e $RESULT ]] || forget_requests
  report
  touch "$STATE/reported"
  scale_in
}

main() {
  BACKUP_ID='' INSTANCE_ID='' GROUP='' RUN_LABEL='' WATCHER='' REPLACED='' CAUSE='' FAILURE='' REPORT_OPTIONS=() ENGINE_STATUS=0
  export PATH=/usr/local/bin:$PATH
  read_config /etc/efs-backup.conf
  mkdir -p -- "$STATE" # in memory
  trap on_exit EXIT
  identify
  claim_run
  mkdir -p -- "$LOGS" || fail disk "$LOGS cannot be made; is the disk full?"
  install_programs
  link_without_asking
  mount_for_backup
  make_snapshot
}

main
