"""Side by side with others: nothing here is installed or imported by the three stages."""
