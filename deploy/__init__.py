"""Ways to run Tidings: on one machine without Docker (`local`), and in containers."""
