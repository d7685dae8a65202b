"""TLS: who the server is, who its clients must be, and the layer between TCP and HTTP."""
