"""What a text is to every step: the form in which it is matched, the hashes by which it is known."""
