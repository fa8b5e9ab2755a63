"""Catalogs: which files each snapshot has, and what is asked of all of them at once."""
