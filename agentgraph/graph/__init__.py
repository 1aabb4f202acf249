"""The agent as one LangGraph state graph: its state, its context, its nodes, and `build.py`, which reads as its plan."""
