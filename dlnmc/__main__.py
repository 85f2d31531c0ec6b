"""`python -m dlnmc`."""

from dlnmc.cli import main

main()
