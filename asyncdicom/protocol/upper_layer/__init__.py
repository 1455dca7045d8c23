"""The DICOM upper layer without its sockets: PDUs and associations (PS3.8 §9)."""
