"""Carries an organisation's peer-support work to Bufdir without dropping the baton."""
