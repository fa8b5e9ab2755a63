"""Copying lists of files with rsync, and what is known of their content."""
