"""Makes of what a run on the instance did its record, its progress and its notification.

Python 3.9, standard library only: this runs on Amazon Linux 2023's own python3.
"""
