"""Several runs of one agent that differ in their seeds, trained as one batched program."""
