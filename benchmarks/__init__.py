"""One script per claim; see README.md."""
