"""What an administrator does and asks: one table for console, API and command line (docs/console.md)."""
