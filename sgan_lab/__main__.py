"""`python -m sgan_lab COMMAND`, the same as `sgan-lab COMMAND`."""

from sgan_lab.cli import main

main()
