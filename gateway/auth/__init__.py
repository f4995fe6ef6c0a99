"""Who calls and what they may do: API keys, their scopes, the file that they are kept in."""
