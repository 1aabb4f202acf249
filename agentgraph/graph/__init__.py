"""The agent as one LangGraph state graph: state, context, nodes, and `build.py`, which reads as its plan."""
