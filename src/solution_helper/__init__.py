"""Custom resources of the deployment itself: its anonymous UUID, and the anonymous metric."""
