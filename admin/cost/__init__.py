"""What the backups of a file system cost a month, beside AWS Backup and version 1.5."""
