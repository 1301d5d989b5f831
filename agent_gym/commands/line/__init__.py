"""What every command does with its line: reads flags, says what goes wrong and what a run begins with."""
