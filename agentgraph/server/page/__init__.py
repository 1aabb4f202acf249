"""The page at `/`: an agent to talk to in a browser, its memory, its threads and the way its runs took."""

from agentgraph.server.page.routes import page_file, page_router, wants_page

__all__ = ["page_file", "page_router", "wants_page"]
