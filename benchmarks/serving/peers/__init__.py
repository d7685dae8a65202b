"""The other servers, each a program in a virtual environment of its own.

A program is written as its server's own documentation writes one that is to answer many requests,
for two cores: two processes that run the model, one thread each. What it serves comes from the
environment (`network.py`). Requirements stand beside the programs, one file a server.
"""
