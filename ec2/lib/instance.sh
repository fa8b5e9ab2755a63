# shellcheck shell=bash
# What a script needs to know about the instance that it runs on.

# Where the backup script and ssm.sh leave each other notes.
# shellcheck disable=SC2034 # read by both of them
readonly STATE=/run/efs-backup

# read_config FILE: sets the variables of KEY=value lines. The values are data: nothing in them is run.
read_config() {
  local line
  if [[ ! -e $1 ]]; then
    printf '%s\n' "$1 is missing: ${0##*/} runs on the instances that the templates launch, and not by hand" >&2
    exit 1
  fi
  while IFS= read -r line; do
    [[ $line =~ ^[A-Z_]+= ]] || continue
    printf -v "${line%%=*}" '%s' "${line#*=}"
  done <"$1"
}

# imds PATH: one value of the instance metadata service, version 2.
imds() {
  local endpoint=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254} token
  local curl=(curl --silent --show-error --fail --retry 5 --connect-timeout 5 --max-time 20)
  token=$("${curl[@]}" --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 300' \
    "${endpoint%/}/latest/api/token")
  "${curl[@]}" --header "X-aws-ec2-metadata-token: $token" "${endpoint%/}/latest/$1"
}

# Throttling and short outages are the SDK's to retry.
configure_aws() {
  export AWS_DEFAULT_REGION=$REGION AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=8 AWS_PAGER=''
}

# The name of this instance's group. Its own description cannot name it: the group refers to that.
group_of() { # instance id
  aws autoscaling describe-auto-scaling-instances --instance-ids "$1" \
    --query 'AutoScalingInstances[0].AutoScalingGroupName' --output text
}

# Whoever waits for it, like the start of the next backup, waits longer than this takes.
end_instance() { # group, with all that it has
  timeout 60 aws autoscaling set-desired-capacity --auto-scaling-group-name "$1" --desired-capacity 0
}
