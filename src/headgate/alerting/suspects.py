"""What an alert that fires says of its cause: the commits between the last good and the first bad run, what grew."""
