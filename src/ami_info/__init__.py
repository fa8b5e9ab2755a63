"""Custom resource: the newest Amazon Linux 2023 image for an instance type."""
