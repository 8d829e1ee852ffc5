"""Where the bytes of files are kept: on this machine, in S3, or in memory; all three behave alike (``store``)."""
