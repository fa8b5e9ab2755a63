"""Bringing a snapshot back: plan, fetch, swap, undo."""
