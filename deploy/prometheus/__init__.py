"""What Prometheus is to watch: service level objectives and their rules, and the tools that check rules and dashboards."""
