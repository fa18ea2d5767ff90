"""Places that facts come from; each package offers its plugins as PLUGINS."""
