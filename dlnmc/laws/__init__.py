"""Exact laws: what simulations are compared with.

Laws of singular values are those of σ·√(β/d), laws of Dyson eigenvalues those of x·√(β/d); `trace`,
`centre_of_mass`, `gap` and `two` are unscaled. Each law has `pdf`, `cdf`, `ppf`, `moment` and `support`.
"""

from dlnmc.laws.base import Law, SingularValueLaw
from dlnmc.laws.chi import Chi
from dlnmc.laws.deep import Beta, LogRatio, bessel_dimension, smallest_of_deep, threshold
from dlnmc.laws.dykema_haagerup import DykemaHaagerup
from dlnmc.laws.dyson import centre_of_mass, gap
from dlnmc.laws.edelman import SmallestSingularValue, smallest_singular_value
from dlnmc.laws.edge_shift import edge_shift
from dlnmc.laws.free_convolution import FreeConvolution
from dlnmc.laws.fuss_catalan import FussCatalan
from dlnmc.laws.gamma import Gamma
from dlnmc.laws.gapped import Gapped
from dlnmc.laws.hard_edge import HardEdge
from dlnmc.laws.noncentral_chi import NoncentralChi
from dlnmc.laws.normal import Normal
from dlnmc.laws.quarter_circle import QuarterCircle
from dlnmc.laws.quartic import Quartic
from dlnmc.laws.registry import eigenvalues, of, singular_values
from dlnmc.laws.scaling import at_hard_edge, at_soft_edge, scaled, soft_edge_limit, squared
from dlnmc.laws.semicircle import Semicircle
from dlnmc.laws.spacing import SpacingRatioSurmise, mean_spacing_ratio, number_variance, wigner_surmise
from dlnmc.laws.trace import trace
from dlnmc.laws.tracy_widom import TracyWidom, tracy_widom
from dlnmc.laws.two import Two, two
from dlnmc.laws.wiener_hopf import critical_kappa

__all__ = [
    "Beta",
    "Chi",
    "DykemaHaagerup",
    "FreeConvolution",
    "FussCatalan",
    "Gamma",
    "Gapped",
    "HardEdge",
    "Law",
    "LogRatio",
    "NoncentralChi",
    "Normal",
    "QuarterCircle",
    "Quartic",
    "Semicircle",
    "SingularValueLaw",
    "SmallestSingularValue",
    "SpacingRatioSurmise",
    "TracyWidom",
    "Two",
    "at_hard_edge",
    "at_soft_edge",
    "bessel_dimension",
    "centre_of_mass",
    "critical_kappa",
    "edge_shift",
    "eigenvalues",
    "gap",
    "mean_spacing_ratio",
    "number_variance",
    "of",
    "scaled",
    "singular_values",
    "smallest_of_deep",
    "smallest_singular_value",
    "soft_edge_limit",
    "squared",
    "threshold",
    "trace",
    "tracy_widom",
    "two",
    "wigner_surmise",
]
