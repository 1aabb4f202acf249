"""Parts of agentgraph in other people's graphs and agents. Import the file named for what you use."""
