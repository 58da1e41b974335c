"""The console: server-rendered pages for browsers, with sessions instead of bearer tokens."""
