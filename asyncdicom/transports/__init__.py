"""HTTP engines behind one port, and the credentials that travel with requests."""
