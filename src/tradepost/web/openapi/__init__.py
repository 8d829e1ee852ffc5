"""The OpenAPI document: what FastAPI derives from the routes, made true and usable for generators of clients."""
