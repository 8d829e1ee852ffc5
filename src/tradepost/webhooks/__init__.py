"""Webhooks: facts sent as signed HTTP requests to the URLs that people subscribed."""
