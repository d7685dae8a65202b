"""Who may ask for what, how often: API keys, their scopes, their rates."""
