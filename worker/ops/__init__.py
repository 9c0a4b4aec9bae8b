"""What operators need of a worker: logs, and later metrics and health."""
