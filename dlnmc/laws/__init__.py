"""Exact laws: what simulations are compared with.

Laws of singular values are those of σ·√(β/d), laws of Dyson eigenvalues those of x·√(β/d); `trace`,
`centre_of_mass` and `gap` are unscaled. Each law has `pdf`, `cdf`, `ppf`, `moment` and `support`.
"""

from dlnmc.laws.base import Law, SingularValueLaw
from dlnmc.laws.chi import Chi
from dlnmc.laws.dykema_haagerup import DykemaHaagerup
from dlnmc.laws.dyson import centre_of_mass, gap
from dlnmc.laws.fuss_catalan import FussCatalan
from dlnmc.laws.gamma import Gamma
from dlnmc.laws.gapped import Gapped
from dlnmc.laws.hard_edge import HardEdge
from dlnmc.laws.normal import Normal
from dlnmc.laws.quarter_circle import QuarterCircle
from dlnmc.laws.registry import eigenvalues, of, singular_values
from dlnmc.laws.semicircle import Semicircle
from dlnmc.laws.trace import trace
from dlnmc.laws.wiener_hopf import critical_kappa

__all__ = [
    "Chi",
    "DykemaHaagerup",
    "FussCatalan",
    "Gamma",
    "Gapped",
    "HardEdge",
    "Law",
    "Normal",
    "QuarterCircle",
    "Semicircle",
    "SingularValueLaw",
    "centre_of_mass",
    "critical_kappa",
    "eigenvalues",
    "gap",
    "of",
    "singular_values",
    "trace",
]
