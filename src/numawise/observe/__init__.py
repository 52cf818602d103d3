"""Where pages and threads really are. Looks, never changes."""
