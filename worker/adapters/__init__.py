"""The outside world, one client library a module; each implements the protocols of `worker.ports`."""
