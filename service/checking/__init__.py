"""``foldserve-serve check``: what a start would find wrong, without one."""
