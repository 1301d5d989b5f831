"""Experience as data: read and recorded sets, teachers, and weights to start from."""
