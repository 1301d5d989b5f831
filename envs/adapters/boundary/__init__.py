"""What passes between an environment and the gym: spaces, bounds, and whether parts are what they should be."""
