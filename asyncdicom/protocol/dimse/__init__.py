"""The DICOM message service without its wires: commands, statuses, SOP classes (PS3.7 §7)."""
