"""From heads to a classifier: what can be made of the old and the new one, and which to use."""
