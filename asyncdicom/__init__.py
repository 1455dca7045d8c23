"""Move DICOM studies at high concurrency, and prove that nothing is missing."""
