"""Conversations that are kept: what a client's request adds to one, how it is mended, and who may run it."""
