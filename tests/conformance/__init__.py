"""Whether the API does what its OpenAPI document says."""
