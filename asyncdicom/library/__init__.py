"""What a program gets from `import asyncdicom`: sources, streams of instances, and jobs."""
