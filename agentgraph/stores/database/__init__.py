"""The records of the whole deployment: one SQLAlchemy database, its tables and its migrations."""
