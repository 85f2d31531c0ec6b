"""Monte Carlo for the Riemannian Langevin equation on the deep linear network."""

__version__ = "0.1.0"
