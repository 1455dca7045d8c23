"""The command line: options in, sentences and exit codes out."""
