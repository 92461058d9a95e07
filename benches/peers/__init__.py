"""The package against other ways to keep a result: `make bench-peers`."""
