"""One server process, or several that serve as one."""
