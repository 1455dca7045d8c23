"""The Storage SCP: takes what others send, many associations at once (PS3.4 Annex B)."""
