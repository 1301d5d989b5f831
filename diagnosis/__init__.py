"""Why it does not learn, and why it is slow."""
