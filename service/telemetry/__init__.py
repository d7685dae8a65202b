"""What the service tells of itself: metrics, statistics, log lines, ids."""
