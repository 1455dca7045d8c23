"""Fuzzing of the parsers: seeded, differential, runnable for hours or for a second."""
