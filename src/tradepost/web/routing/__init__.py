"""From a path to an endpoint: the path table, the route class, common parameters, and the fast path."""
