"""Networks: encoders, heads, distributions, normalisation and the one backprop/optimizer core."""
