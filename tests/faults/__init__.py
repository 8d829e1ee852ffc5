"""What happens when something breaks: a killed server, a database that is away, too many writers, a full pool."""
