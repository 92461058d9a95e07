"""`llem import`: results from the files of other tools."""
