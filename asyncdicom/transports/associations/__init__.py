"""DIMSE engines behind one port, and the acceptor that services are built on."""
