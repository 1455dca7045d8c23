"""The asyncio machinery: scheduler, workers, slots, attempts, orderly stop."""
