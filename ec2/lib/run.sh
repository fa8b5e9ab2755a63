# shellcheck shell=bash
# The steps that backups and restores have in common. The calling script sets TASK to what it does,
# and starts with CAUSE='' FAILURE='' REPORT_OPTIONS=(). With them comes all else that they need.

# shellcheck source=lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=lib/instance.sh
. "$HERE/lib/instance.sh"
# shellcheck source=lib/mount.sh
. "$HERE/lib/mount.sh"

LEASE_SECONDS=${LEASE_SECONDS:-60}

identify() {
  configure_aws
  INSTANCE_ID=$(imds meta-data/instance-id)
  # shellcheck disable=SC2034 # for the calling script
  GROUP=$(group_of "$INSTANCE_ID")
}

install_programs() {
  "$HERE/install.sh" ||
    fail install "The programs that a $TASK needs could not be installed; see the logs"
}

# Sets WORKER_OPTIONS to what tells the engine of the machines that may help.
worker_options() {
  WORKER_OPTIONS=()
  # shellcheck disable=SC2034 # for the calling script
  [[ -z $WORKERS_QUEUE ]] || WORKER_OPTIONS=(--workers-queue "$WORKERS_QUEUE" --workers-group "$WORKERS_GROUP"
    --workers "$WORKERS" --workers-worth "${WORKERS_WORTH:-300}" --lease "$LEASE_SECONDS")
}

# The engine has done so, unless it was killed.
end_workers() {
  [[ -z $WORKERS_GROUP ]] || end_instance "$WORKERS_GROUP"
}

# explain EXIT_STATUS: a script that did not end through `fail` has to say something, too.
explain() {
  if (($1)) && [[ -z $FAILURE ]]; then
    CAUSE=script FAILURE="$0 ended with exit status $1; see the logs"
  fi
}

# make_report TASK OPTIONS...
make_report() {
  PYTHONPATH=$HERE/lib python3 -B -m report "$@"
}

# make_last_report TASK OPTIONS...: of how the run ended, in words for people, too.
make_last_report() {
  make_report "$@" --result "$RESULT" --cause "$CAUSE" --failure "$FAILURE" "${REPORT_OPTIONS[@]}" \
    --message "$STATE/message.json"
}

warn() { # message: a part of the report
  log "$1"
  REPORT_OPTIONS+=(--warning "${1:0:MESSAGE_LENGTH}")
}

# ship LOCAL_PATH KEY [--recursive]: a log that cannot be kept is a warning, never a failure.
ship() {
  local output
  [[ -e $1 ]] || return 0
  if ! output=$(aws s3 cp --no-progress --only-show-errors ${3:+"$3"} "$1" "s3://$LOG_BUCKET/$2" 2>&1); then
    log "$output"
    warn "$1 could not be uploaded to s3://$LOG_BUCKET/$2: $(last_line "$output")"
  fi
}

notify() { # subject
  aws sns publish --topic-arn "$TOPIC_ARN" --subject "$1" --message "file://$STATE/message.json"
}
