"""The endpoints, one module for each protocol; they translate and decide nothing."""
