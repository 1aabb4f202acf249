"""Alembic's migrations. One file a step, in one line; `revision` is its number, and the next step's `down_revision`."""
