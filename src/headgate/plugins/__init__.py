"""What every plugin shares: the base of its configuration, and how it is found."""
