"""What a run is made of, put together for the commands and the face."""
