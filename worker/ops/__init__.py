"""What operators need of a worker: logs, health, metrics, waiting at the start, leaving in time."""
