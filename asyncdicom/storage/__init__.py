"""Where bytes come to rest: layouts, atomic files, archives, verification."""
