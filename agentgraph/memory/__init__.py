"""Memories: what a record is, how it is written once, and how the right ones are found again."""
