"""Small tasks of seeing and hearing: where a digit is, and which one was said."""
