"""The nodes of the graph: one file, one function, one name."""
