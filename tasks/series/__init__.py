"""Series: what comes next, from windows of what came before."""
