"""Storage of results: a directory, and the verbs that save, read and check it."""
