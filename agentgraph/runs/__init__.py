"""Runs, from being accepted to their end: what an application does with a request."""
