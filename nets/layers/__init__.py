"""Single layers that torch lacks, or has slower: activations, embeddings, noise, many networks at once."""
