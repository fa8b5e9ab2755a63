"""The ways to make one daily snapshot that are compared. Each is a Bash script for the machine.

They get: SOURCE and BACKUP (directories), JOBS and RETAIN. All keep their snapshots in a folder of
their own in BACKUP, the newest as daily.0, and remove the oldest in the same run.
"""

from __future__ import annotations

# fpsync's own default leaves out some names, and it needs bash for its job control.
FPSYNC = """bash /usr/bin/fpsync -n "$JOBS" -O '-e' """

# Version 1.5's passes, with the options that fpsync accepts since (it refuses -a). It ran one `rm`
# for each path of the oldest snapshot in parallel; this removes whole directories in parallel,
# which is kinder to it: as many calls, far fewer processes.
VERSION_1_5 = f"""
folder=$BACKUP/version-1.5
mkdir -p "$folder"
oldest=$folder/daily.$((RETAIN - 1))
if [[ -d $oldest ]]; then
  find "$oldest" -mindepth 2 -maxdepth 2 -print0 | xargs -0 -r -n 4 -P "$JOBS" rm -rf
  rm -rf "$oldest"
fi
for ((number = RETAIN - 1; number >= 2; number--)); do
  [[ ! -d $folder/daily.$((number - 1)) ]] ||
    mv "$folder/daily.$((number - 1))" "$folder/daily.$number"
done
if [[ -d $folder/daily.0 ]]; then
  {FPSYNC} -o '-lptgoD -v --link-dest=../daily.0' "$folder/daily.0" "$folder/daily.1"
fi
{FPSYNC} -o '-lptgoD --stats --numeric-ids' "$SOURCE/" "$folder/daily.0/"
rsync -r --delete --existing --ignore-existing --ignore-errors "$SOURCE/" "$folder/daily.0/"
touch "$folder/daily.0"
"""

ROTATE = """
for ((number = RETAIN - 1; number >= 0; number--)); do
  [[ ! -d $folder/daily.$number ]] || mv "$folder/daily.$number" "$folder/daily.$((number + 1))"
done
mv "$folder/stage" "$folder/daily.0"
rm -rf "$folder/daily.$RETAIN"
"""

FPSYNC_LINK_DEST = f"""
folder=$BACKUP/fpsync
mkdir -p "$folder/stage" "$folder/daily.0" # it takes rsync's remark on a missing one for a failure
{FPSYNC} -o "-lptgoD --numeric-ids --link-dest=$folder/daily.0" "$SOURCE/" "$folder/stage/"
rsync -rlptgoD --numeric-ids --include='*/' --exclude='*' "$SOURCE/" "$folder/stage/"
{ROTATE}"""

RSYNC_LINK_DEST = f"""
folder=$BACKUP/rsync
mkdir -p "$folder"
rsync -a --numeric-ids --link-dest="$folder/daily.0" "$SOURCE/" "$folder/stage/"
{ROTATE}"""

RSNAPSHOT = """
{
  printf '%s\\t%s\\n' config_version 1.2 snapshot_root "$BACKUP/rsnapshot/" cmd_rsync /usr/bin/rsync
  printf '%s\\t%s\\n' cmd_rm /bin/rm cmd_cp /bin/cp link_dest 1 verbose 1
  printf 'retain\\tdaily\\t%s\\nbackup\\t%s/\\t./\\n' "$RETAIN" "$SOURCE"
  printf 'rsync_long_args\\t%s\\n' '--delete --numeric-ids --delete-excluded' # without --relative
} >/tmp/rsnapshot.conf
rsnapshot -c /tmp/rsnapshot.conf daily
"""

OURS = """
/project/ec2/efs-backup.sh --source "$SOURCE" --backup "$BACKUP" --folder ours \\
  --interval daily --retain "$RETAIN" --jobs "$JOBS"
"""

METHODS = {
    "version 1.5": VERSION_1_5,
    "rsnapshot": RSNAPSHOT,
    "rsync --link-dest": RSYNC_LINK_DEST,
    "fpsync --link-dest": FPSYNC_LINK_DEST,
    "this project": OURS,
}
