"""Restoring files of the snapshots for a test."""
