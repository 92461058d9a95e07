"""`llem save`: results from files and from other stores."""
