"""How fast, beside others or beside what must be."""
