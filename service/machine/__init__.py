"""What the machine gives a process: processors, memory, and how they are shared out."""
