"""Cloud-Optimized DICOM without I/O: names, metadata, tar archives, frames."""
