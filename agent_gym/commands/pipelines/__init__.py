"""Commands that answer at once: of what mood a text is, what in it answers a question, how it goes on."""
