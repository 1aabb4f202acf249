"""Where things are kept: memories, vectors and checkpoints, in SQLite files today and other engines behind the same interfaces."""
