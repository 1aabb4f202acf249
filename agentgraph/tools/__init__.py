"""Tools: what the model may call, which few of them it is shown, and how they are run."""
