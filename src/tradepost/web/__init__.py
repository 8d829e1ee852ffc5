"""What every domain needs of HTTP: errors, middleware, routes, sessions."""
