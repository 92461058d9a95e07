"""The part of zeus 0.16.0 that the example uses, with two GPUs."""
