"""Wire formats of a run: each a function of `RunEvent`, without HTTP."""
