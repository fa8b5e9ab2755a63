"""The snapshot engine: makes, publishes and expires snapshots on any two directories.

Python 3.9, standard library only: it runs on Amazon Linux 2023's own python3.
"""
