"""What is learned, beside others or beside what can be known."""
