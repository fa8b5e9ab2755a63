# shellcheck shell=bash
# Mounting EFS file systems, and saying why that failed in terms of what a user can change.

MOUNT_ATTEMPTS=${MOUNT_ATTEMPTS:-8}
MOUNT_PAUSE=${MOUNT_PAUSE:-15}

# mount_efs ROLE FILE_SYSTEM PATH MOUNT_POINT OPTIONS
# ROLE is how messages call it: source, backup or target.
mount_efs() {
  local attempt output
  mkdir -p -- "$4"
  for ((attempt = 1; attempt <= MOUNT_ATTEMPTS; attempt++)); do
    if output=$(mount -t efs -o "$5" "$2:$3" "$4" 2>&1) && mountpoint -q -- "$4"; then
      log "mounted the $1 file system $2:$3"
      return 0
    fi
    log "mounting the $1 file system $2:$3 failed (attempt $attempt of $MOUNT_ATTEMPTS): $output"
    ((attempt == MOUNT_ATTEMPTS)) || sleep "$MOUNT_PAUSE"
  done
  fail "The EFS $TASK was unsuccessful. The EC2 instance was unable to find the mount IP OR mount EFS: the $1 file system $2:$3 $(mount_cause "$output") ($output)"
}

mount_cause() { # what mount said
  case $1 in
    *'resolve'* | *'Name or service not known'*)
      printf 'has no DNS name here: check that it has a mount target in the Availability Zone of the subnets, and that the VPC uses the Amazon DNS server with DNS hostnames on'
      ;;
    *'timed out'* | *'Connection refused'*)
      printf 'does not answer: check that the security group of its mount target allows NFS (TCP 2049) from this instance'
      ;;
    *'does not exist'* | *'No such file or directory'*)
      printf 'has no such directory: check the prefix'
      ;;
    *'access denied'* | *'ermission denied'*)
      printf 'denies the mount: check its file system policy'
      ;;
    *) printf 'could not be mounted' ;;
  esac
}
