"""What is known of why runs fail: rules of one idea each, gathered in RULES."""
