"""The Lambda that sees to it that a restore is heard of."""
