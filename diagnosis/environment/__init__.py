"""What an environment shows before anybody learns in it."""
