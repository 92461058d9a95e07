"""The package beside other ways to keep a result: `make bench-peers`."""
