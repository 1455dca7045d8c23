"""What the standards say, without I/O: bytes in, events and values out."""
