# shellcheck shell=bash
# Mounting EFS file systems, and saying why that failed in terms of what a user can change.

# What the mount helper says to nobody else.
# shellcheck disable=SC2034 # for the calling script
readonly MOUNT_LOG=/var/log/amazon/efs/mount.log

MOUNT_SECONDS=${MOUNT_SECONDS:-300}
MOUNT_PAUSE=${MOUNT_PAUSE:-15}

# mount_efs ROLE FILE_SYSTEM PATH MOUNT_POINT OPTIONS
# ROLE is how messages call it: source, backup or target.
mount_efs() {
  local output end=$((SECONDS + MOUNT_SECONDS)) tree="the $1 file system $2:$3"
  mkdir -p -- "$4"
  until output=$(try_mount "$2" "$3" "$4" "$5" "$((end - SECONDS))" 2>&1); do
    log "mounting $tree failed: $output"
    ((SECONDS < end)) || fail mount "$tree $(mount_cause "$output") ($output)"
    sleep "$MOUNT_PAUSE"
  done
  # What must not be written is not left to an option that was overlooked.
  [[ ,$5, != *,ro,* ]] || read_only "$4" || fail mount "$tree was mounted, but not read-only; nothing was read or written"
  log "mounted $tree"
}

mount_for_backup() {
  mount_efs source "$SOURCE_EFS" "$BACKUP_PREFIX" /mnt/source tls,iam,ro
  mount_efs backup "$BACKUP_EFS" / /mnt/backup tls,iam
}

mount_for_restore() {
  # An undo needs no snapshot.
  [[ -n $UNDO_ID ]] || mount_efs backup "$BACKUP_EFS" / /mnt/backup tls,iam,ro
  mount_efs target "$TARGET_EFS" / /mnt/target tls,iam
}

# try_mount FILE_SYSTEM PATH MOUNT_POINT OPTIONS SECONDS
# The helper takes minutes to find out that a port is closed, so that is tried first.
try_mount() {
  local status=0
  if ! answers "$(mount_target "$1")"; then
    printf 'TCP 2049 of %s does not answer\n' "$(mount_target "$1")"
    return 1
  fi
  timeout --kill-after=5 "$(($5 > 1 ? $5 : 1))" mount -t efs -o "$4" "$1:$2" "$3" || status=$?
  ((status != 124)) || printf 'no end of mounting, timeout after %s seconds\n' "$5"
  ((status == 0)) && mountpoint -q -- "$3"
}

# The names that amazon-efs-utils has in its configuration.
mount_target() { # file system
  local suffix=amazonaws.com
  case ${REGION:-} in
    cn-*) suffix=amazonaws.com.cn ;;
    eusc-*) suffix=amazonaws.eu ;;
  esac
  printf '%s.efs.%s.%s' "$1" "${REGION:-}" "$suffix"
}

# A name that is not known is the helper's to explain.
answers() { # host name
  # shellcheck disable=SC2016 # for the inner shell
  ! getent ahosts "$1" >/dev/null || timeout 5 bash -c ': <>"/dev/tcp/$1/2049"' bash "$1" 2>/dev/null
}

read_only() { # mount point
  local options
  options=$(findmnt --noheadings --output OPTIONS --mountpoint "$1" | tail -n 1)
  [[ ,$options, == *,ro,* ]]
}

# Before each hard link, the kernel looks for the right to write to the file: over NFS, that is half of
# the requests. It does so for fs.protected_hardlinks, which keeps users from having links to files of
# others on their own machine. Nobody but root works on this one, and root may link to any file; which
# links users can make is up to the machines that they work on, and no setting of this one. Where it
# cannot be set, links cost more, and nothing else changes.
link_without_asking() {
  echo 0 >/proc/sys/fs/protected_hardlinks || log 'fs.protected_hardlinks stays as it is; links take twice as many requests'
}

mount_cause() { # what mount said
  case $1 in
    *'resolve'* | *'Name or service not known'*)
      printf 'has no DNS name here: check that it has a mount target in the Availability Zone of the subnets, and that the VPC uses the Amazon DNS server with DNS hostnames on'
      ;;
    *'timed out'* | *'timeout'* | *'Connection refused'* | *'No route to host'* | *'does not answer'*)
      printf 'does not answer: check that the security group of its mount target, and the network ACLs, allow NFS (TCP 2049) from this instance'
      ;;
    *'mount system call failed'* | *'reset by peer'* | *'initialize tunnel'*)
      printf 'ends the connection: check its file system policy, that nothing on the way inspects TLS, and mount.log in the logs; a mount target that was just created takes some minutes'
      ;;
    *'does not exist'* | *'No such file or directory'*)
      printf 'has no such directory: check the prefix'
      ;;
    *'access denied'* | *'ermission denied'* | *'not permitted'*)
      printf 'denies the mount: check its file system policy'
      ;;
    *'Access Key'* | *'retrieving region'* | *'network was not yet available'*)
      printf 'cannot be mounted, because the instance metadata service gives no credentials or region: check that the instance profile has its role'
      ;;
    *) printf 'could not be mounted' ;;
  esac
}
