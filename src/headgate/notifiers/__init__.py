"""Channels to people, one module each. They encode and interpret; sending, retrying and logging is not theirs."""
