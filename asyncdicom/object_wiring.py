"""Put an object store together from the URL and the options of a command."""

from __future__ import annotations

__all__: list[str] = []
