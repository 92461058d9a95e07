"""The commands of `llem`: each a function of the name of its module, or of its package in `command`."""
