"""Tools that a tenant declares once, in OpenAI's format, for all of its requests."""
