"""`llem bench`: the cost of persistence on a disk."""
