"""What is kept of threads beside LangGraph's checkpoints: leases, runs, tool calls, archive, sessions, debts.

Each module is one table: its DDL and the statements on it, as functions of a connection inside somebody else's
transaction. The SQL is the part that SQLite and PostgreSQL share (`sql.py` says what differs).
"""
