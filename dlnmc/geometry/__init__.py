"""The geometry of the Deep Linear Network in plain NumPy: slow, obvious, and what compiled kernels are tested against.

Source: Govind Menon, The geometry of the deep linear network (arXiv 2411.09004). Matrices are (..., d, d), networks
(..., N, d, d) with W_1 first; leading axes are batches. Downstairs the depth is any real number ≥ 1, or math.inf with
the metric rescaled by 1/N.

| equations | functions |
|---|---|
| (3.3), (7.10), (4.10) | `end_to_end`, `differential`, `second_differential`, `partial_products` |
| (3.4)–(3.6), (7.5), (4.9) | `gradient_flow`, `lifted_gradient`, `end_to_end_flow` |
| (4.2)–(4.6) | `balance`, `imbalance`, `is_balanced`, `dimensions` |
| (4.14), Lemma 1; (14.7), Lemma 3 | `apply_A`, `apply_A_inverse`, `apply_A_root`, `matrix_of_A`, `eigenvalues_of_A` |
| (4.15), (4.18) | `riemannian_gradient` |
| (4.17), (7.15), (14.10), Theorem 3 | `metric`, `norm`, `tangent_part` |
| (5.5)–(5.12) | `chart_x`, `chart_y` |
| (5.15)–(5.20) | `chart_z`, `frames`, `chart_x_of_rank`, `chart_y_of_rank`, `balanced_over`, `gauge_transformed` |
| (6.2), (6.5), Theorem 10, (14.11) | `entropy`, `entropy_of_singular_values`, `log_orbit_volume` |
| (6.4), Theorem 11 | `log_volume_sigma`, `log_volume_lambda`, `log_volume_matrix` |
| (6.6) | `free_energy` |
| (8.2), (8.6)–(8.8) | `chart_z_differential`, `coordinate_basis` |
| (8.9), (8.10), Lemma 2 | `pullback_metric`, `rotation_metric` |
| (8.20)–(8.24), Theorem 14 | `vertical_basis`, `horizontal_basis` |
| Theorem 13 | `horizontal_lift`, `project_horizontal`, `project_vertical`, `project_tangent` |
| Remark 9 | `bures_wasserstein_metric`, `bures_wasserstein_distance` |
| (11.3)–(11.9) | `project_orbit`, `project_spectrum`, `orbit_entropy`, `orbit_entropy_gradient`, `spectral_gradient`, \
`hermitian_noise` |
| (12.2) | `second_fundamental_form`, `vertical_curvature`, `horizontal_curvature`, `rotation_cometrics` |
| (12.8), (12.13) | `sigma_prime`, `entropy_gradient` |
| (12.9), (12.10), Theorem 18 | `sigma_second`, `brownian_drift`, `noise`, `covariance` |
| (12.11) | `network_drift`, `network_noise` |
| (12.12) | `drift` |

Where the paper's text is wrong the functions follow the corrected formula, and docs/mathematics.md has the list.
"""

from dlnmc.geometry.balanced import (
    Dimensions,
    balance,
    balanced_over,
    dimensions,
    gauge_transformed,
    imbalance,
    is_balanced,
)
from dlnmc.geometry.bures_wasserstein import (
    bures_wasserstein_distance,
    bures_wasserstein_metric,
)
from dlnmc.geometry.charts import (
    chart_x,
    chart_x_of_rank,
    chart_y,
    chart_y_of_rank,
    chart_z,
    frames,
)
from dlnmc.geometry.curvature import (
    horizontal_curvature,
    network_drift,
    network_noise,
    rotation_cometrics,
    second_fundamental_form,
    vertical_curvature,
)
from dlnmc.geometry.entropy import (
    entropy,
    entropy_gradient,
    entropy_of_singular_values,
    free_energy,
    log_orbit_volume,
    sigma_prime,
)
from dlnmc.geometry.hermitian import (
    hermitian_noise,
    orbit_entropy,
    orbit_entropy_gradient,
    project_orbit,
    project_spectrum,
    spectral_gradient,
)
from dlnmc.geometry.langevin import (
    brownian_drift,
    covariance,
    drift,
    noise,
    sigma_second,
)
from dlnmc.geometry.metric import (
    apply_A,
    apply_A_inverse,
    apply_A_root,
    eigenvalues_of_A,
    matrix_of_A,
    metric,
    norm,
    riemannian_gradient,
    tangent_part,
)
from dlnmc.geometry.network import (
    differential,
    end_to_end,
    end_to_end_flow,
    gradient_flow,
    lifted_gradient,
    partial_products,
    second_differential,
)
from dlnmc.geometry.tangent import (
    chart_z_differential,
    coordinate_basis,
    horizontal_basis,
    horizontal_lift,
    project_horizontal,
    project_tangent,
    project_vertical,
    pullback_metric,
    rotation_metric,
    vertical_basis,
)
from dlnmc.geometry.volume import (
    log_volume_lambda,
    log_volume_matrix,
    log_volume_sigma,
)

__all__ = [
    "Dimensions",
    "apply_A",
    "apply_A_inverse",
    "apply_A_root",
    "balance",
    "balanced_over",
    "brownian_drift",
    "bures_wasserstein_distance",
    "bures_wasserstein_metric",
    "chart_x",
    "chart_x_of_rank",
    "chart_y",
    "chart_y_of_rank",
    "chart_z",
    "chart_z_differential",
    "coordinate_basis",
    "covariance",
    "differential",
    "dimensions",
    "drift",
    "eigenvalues_of_A",
    "end_to_end",
    "end_to_end_flow",
    "entropy",
    "entropy_gradient",
    "entropy_of_singular_values",
    "frames",
    "free_energy",
    "gauge_transformed",
    "gradient_flow",
    "hermitian_noise",
    "horizontal_basis",
    "horizontal_curvature",
    "horizontal_lift",
    "imbalance",
    "is_balanced",
    "lifted_gradient",
    "log_orbit_volume",
    "log_volume_lambda",
    "log_volume_matrix",
    "log_volume_sigma",
    "matrix_of_A",
    "metric",
    "network_drift",
    "network_noise",
    "noise",
    "norm",
    "orbit_entropy",
    "orbit_entropy_gradient",
    "partial_products",
    "project_horizontal",
    "project_orbit",
    "project_spectrum",
    "project_tangent",
    "project_vertical",
    "pullback_metric",
    "riemannian_gradient",
    "rotation_cometrics",
    "rotation_metric",
    "second_differential",
    "second_fundamental_form",
    "sigma_prime",
    "sigma_second",
    "spectral_gradient",
    "tangent_part",
    "vertical_basis",
    "vertical_curvature",
]
