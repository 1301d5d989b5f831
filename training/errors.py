"""The one exception for what a user can mend."""


class UserError(Exception):
    """Bad usage or bad input: one line that names the value, what was expected and how to mend it."""
