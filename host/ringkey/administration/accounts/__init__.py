"""Who is at the door: users and their passwords, sessions, invitations, API tokens, second factors."""
