"""The console: an HTTPS server of its own with pages for people and an API for scripts (docs/console.md)."""
