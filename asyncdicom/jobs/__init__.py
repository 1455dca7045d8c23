"""What a user asks for: dump, get and find, each a composition of source, engine and storage."""
