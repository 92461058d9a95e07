"""The models of a result."""
