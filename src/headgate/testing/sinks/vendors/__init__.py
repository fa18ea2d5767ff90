"""One module per fake vendor; each holds `FAKE`. A module with a leading underscore only helps."""
