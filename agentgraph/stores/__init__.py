"""Where things are kept: memories, vectors and checkpoints, in SQLite files below LangGraph's own interfaces."""
