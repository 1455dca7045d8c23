"""What can be found at a place, and how one target is fetched from it."""
