"""One FastAPI application in front of `AgentGraph`: OpenAI's format, LangServe, health and documentation."""
