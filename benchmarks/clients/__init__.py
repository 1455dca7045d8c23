"""The job of a benchmark as small programs of other libraries do it."""
