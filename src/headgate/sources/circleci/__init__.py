"""CircleCI, cloud and Server: webhooks, API v2 and API v1.1."""
