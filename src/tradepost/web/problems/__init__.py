"""Errors as HTTP answers (RFC 9457): their body, its rendering, the handlers, and their part of the OpenAPI."""
