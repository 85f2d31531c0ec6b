// The pair sum f_i = sum over j of 1/(x_i - x_j) by hand for AVX-512: a yardstick of one core, without noise or order.
//
// Sixteen paths side by side, two registers; each pair once, row by row: f_i stays in registers, f_j goes through
// memory. The reciprocal is a division, or the hardware's estimate to 14 bits with two Newton steps, r <- r + r(1 - gr).
//
//     g++ -O3 -march=native reference.cpp -o reference && ./reference [seconds for each line]
//
// writes a JSON object on every line: size, reciprocal, pairs_per_second (the best of five repetitions), and the largest
// error of a sum relative to the sum of |terms|.

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

namespace {

constexpr int registers = 2;
constexpr int lanes = 8 * registers;
constexpr int repetitions = 5;

struct Division {
    static constexpr const char* name = "division";
    static __m512d of(__m512d gap) { return _mm512_div_pd(_mm512_set1_pd(1.0), gap); }
};

struct Newton {
    static constexpr const char* name = "rcp14 and two Newton steps";
    static __m512d of(__m512d gap) {
        const __m512d one = _mm512_set1_pd(1.0);
        __m512d r = _mm512_rcp14_pd(gap);
        r = _mm512_fmadd_pd(r, _mm512_fnmadd_pd(gap, r, one), r);
        return _mm512_fmadd_pd(r, _mm512_fnmadd_pd(gap, r, one), r);
    }
};

// x and f are (row, lane).
template <class Reciprocal>
void pair_sums(const double* x, double* f, int size) {
    std::fill(f, f + size * lanes, 0.0);
    for (int i = 0; i + 1 < size; ++i) {
        __m512d x_i[registers], f_i[registers];
        for (int v = 0; v < registers; ++v) {
            x_i[v] = _mm512_load_pd(x + i * lanes + 8 * v);
            f_i[v] = _mm512_load_pd(f + i * lanes + 8 * v);
        }
        for (int j = i + 1; j < size; ++j) {
            for (int v = 0; v < registers; ++v) {
                double* f_j = f + j * lanes + 8 * v;
                const __m512d r = Reciprocal::of(_mm512_sub_pd(x_i[v], _mm512_load_pd(x + j * lanes + 8 * v)));
                f_i[v] = _mm512_add_pd(f_i[v], r);
                _mm512_store_pd(f_j, _mm512_sub_pd(_mm512_load_pd(f_j), r));
            }
        }
        for (int v = 0; v < registers; ++v) _mm512_store_pd(f + i * lanes + 8 * v, f_i[v]);
    }
}

double error_of(const double* x, const double* f, int size) {
    double worst = 0.0;
    for (int lane = 0; lane < lanes; ++lane) {
        for (int i = 0; i < size; ++i) {
            long double sum = 0.0, weight = 0.0;
            for (int j = 0; j < size; ++j) {
                if (j == i) continue;
                const long double r = 1.0L / ((long double)x[i * lanes + lane] - x[j * lanes + lane]);
                sum += r;
                weight += std::fabs(r);
            }
            worst = std::max(worst, (double)(std::fabs(f[i * lanes + lane] - sum) / weight));
        }
    }
    return worst;
}

template <class Reciprocal>
void measure(const double* x, double* f, int size, double seconds) {
    using clock = std::chrono::steady_clock;
    const double pairs = size * (size - 1) / 2.0 * lanes;
    const long calls = std::max(1L, (long)(2e9 * seconds / repetitions / pairs));
    double best = 0.0;
    for (int repetition = 0; repetition < repetitions; ++repetition) {
        const auto began = clock::now();
        for (long call = 0; call < calls; ++call) {
            pair_sums<Reciprocal>(x, f, size);
            asm volatile("" ::"r"(f) : "memory");  // or the compiler would keep the last call only
        }
        best = std::max(best, calls * pairs / std::chrono::duration<double>(clock::now() - began).count());
    }
    std::printf("{\"size\": %d, \"reciprocal\": \"%s\", \"pairs_per_second\": %.6g, \"error\": %.3g}\n", size,
                Reciprocal::name, best, error_of(x, f, size));
    std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
    const double seconds = count > 1 ? std::atof(arguments[1]) : 1.0;
    std::mt19937_64 generator(1);
    std::normal_distribution<double> normal;
    for (const int size : {10, 32, 100, 300}) {
        const size_t bytes = size * lanes * sizeof(double);
        double* x = static_cast<double*>(std::aligned_alloc(64, bytes));
        double* f = static_cast<double*>(std::aligned_alloc(64, bytes));
        std::vector<double> one(size);
        for (int lane = 0; lane < lanes; ++lane) {
            std::generate(one.begin(), one.end(), [&] { return normal(generator); });
            std::sort(one.begin(), one.end());
            for (int i = 0; i < size; ++i) x[i * lanes + lane] = one[i];
        }
        measure<Division>(x, f, size, seconds);
        measure<Newton>(x, f, size, seconds);
        std::free(x);
        std::free(f);
    }
}
