"""The same few answers written in other ways, to have something to compare Tradepost with.

Each is a program of its own: `python -m tests.load.peers.<name> --port N`, or `node server.js --port N`, with
`DATABASE_URL` and `SECRET_KEY` in the environment. They read the tables that Tradepost's migrations made.
"""
