"""Commands that play what was trained: scores, shows, games against a person, recorded experience."""
