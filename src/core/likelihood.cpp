#include "likelihood.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

#include "local_quadratic.hpp"
#include "losses.hpp"
#include "pool.hpp"

namespace core {
namespace {

// Share of their diagonal that is added to Gram matrices; it changes steps, not the optimum. Rounded to
// float, the matrix of collinear signatures can have a direction that is bent down.
constexpr float safety = 1e-6f;

// Share of the curvature inside the band that all values have in the model of the absolute loss, so that
// spots with no value in the band have a model too.
constexpr double floor_share = 8e-3;

// Multipliers are kept as whole numbers of 16 bits, in steps of this part of their bound.
constexpr double step = 1.0 / 32767;

// Lanes worked on together, two registers wide or one, and entries that their sums are kept of in registers.
template <class T>
constexpr int lanes_at_once = std::min(lanes, 2 * register_bytes / static_cast<int>(sizeof(T)));
constexpr int entries_at_once = register_bytes == 64 ? 12 : 6;

// Share of values with a curvature below which they are summed value by value.
constexpr double few = 0.12;

using Sixteen = std::array<double, lanes>;

template <class T>
void multiply_panel(std::int64_t count, const T* factors, const T* rows, T* out) {
    using Part = Row<T, lanes_at_once<T>>;
    for (int lane = 0; lane < lanes; lane += lanes_at_once<T>) {
        Part sums[entries_at_once];
        for (auto& sum : sums) sum = Part::all(0);
        for (std::int64_t i = 0; i < count; ++i) {
            const Part row = Part::load(rows + i * lanes + lane);
            const T* factor = factors + i * entries_at_once;
            for (int e = 0; e < entries_at_once; ++e) sums[e] += row * factor[e];
        }
        for (int e = 0; e < entries_at_once; ++e) sums[e].store(out + e * lanes + lane);
    }
}

std::int64_t groups_of(std::int64_t spots) { return (spots + lanes - 1) / lanes; }

std::int64_t padded_entries(std::int64_t entries) {
    return (entries + entries_at_once - 1) / entries_at_once * entries_at_once;
}

template <class T>
INLINE Values load(const T* from) {
    return Row<double, register_values>::load(from).head;
}

template <class T>
INLINE void store(Values values, T* to) {
    Row<double, register_values>{values, {}}.store(to);
}

// Multipliers, by way of 32 bits: compilers convert shorter numbers one by one.
using Whole = Register<std::int32_t, register_values>::type;
using Short = Register<std::int16_t, register_values>::type;

INLINE Values load(const std::int16_t* from) {
    Short numbers;
    std::memcpy(&numbers, from, sizeof(numbers));
    return __builtin_convertvector(__builtin_convertvector(numbers, Whole), Values) * step;
}

INLINE void store(Values multiplier, std::int16_t* to) {
    const Values exact = multiplier * (1 / step);
    const Values rounded = exact > 0.0 ? exact + 0.5 : exact - 0.5;
    const Short numbers = __builtin_convertvector(__builtin_convertvector(rounded, Whole), Short);
    std::memcpy(to, &numbers, sizeof(numbers));
}

// Call `some(weight, lane, i)` for the values from i on of sixteen spots, of genes with a weight, and return the
// sums over genes of the N numbers that it returns.
template <int N, class Some>
std::array<Sixteen, N> sum_values(std::span<const double> weights, Some&& some) {
    std::array<std::array<Values, lanes / register_values>, N> sums{};
    std::int64_t first = 0;
    for (const double weight : weights) {
        for (int lane = 0; lane < lanes && weight > 0; lane += register_values) {
            const std::array<Values, N> terms = some(weight, lane, first + lane);
            for (int n = 0; n < N; ++n) sums[n][lane / register_values] += terms[n];
        }
        first += lanes;
    }
    std::array<Sixteen, N> result;
    std::memcpy(&result, &sums, sizeof(result));
    return result;
}

}  // namespace

void Expression::read(std::int64_t first, int count, double* panel) const {
    if (pointers) {
        std::fill(panel, panel + genes * lanes, 0.0);
        for (int lane = 0; lane < count; ++lane) {
            for (auto place = pointers[first + lane]; place < pointers[first + lane + 1]; ++place) {
                panel[indices[place] * lanes + lane] = entries[place];
            }
        }
        return;
    }
    const auto copy = [&](const auto* from) {
        from += first * spot_stride;
        for (std::int64_t gene = 0; gene < genes; ++gene) {
            double* row = panel + gene * lanes;
            if (spot_stride == 1 && count == lanes) {
                Row<double, lanes>::load(from + gene * gene_stride).store(row);
                continue;
            }
            for (int lane = 0; lane < count; ++lane) row[lane] = from[gene * gene_stride + lane * spot_stride];
            for (int lane = count; lane < lanes; ++lane) row[lane] = 0;
        }
    };
    single ? copy(single) : copy(dense);
}

template <class T>
template <class Entry>
void Likelihood::Factors<T>::fill(std::int64_t numbers, std::int64_t entries, Entry&& entry) {
    count = numbers;
    panels = static_cast<int>(padded_entries(entries) / entries_at_once);
    data = Buffer<T>(panels * count * entries_at_once);
    T* place = data.data();
    for (std::int64_t panel = 0; panel < panels; ++panel) {
        for (std::int64_t i = 0; i < count; ++i) {
            for (int e = 0; e < entries_at_once; ++e) {
                const std::int64_t number = panel * entries_at_once + e;
                *place++ = number < entries ? static_cast<T>(entry(i, number)) : T(0);
            }
        }
    }
}

template <class T>
void Likelihood::Factors<T>::multiply(const T* rows, T* out) const {
    for (int panel = 0; panel < panels; ++panel) {
        multiply_panel(count, data.data() + panel * count * entries_at_once, rows,
                       out + panel * entries_at_once * lanes);
    }
}

// What one thread writes into, group after group.
struct Likelihood::Workspace {
    Workspace(std::int64_t genes, int number_of_types)
        : types(number_of_types),
          seen(genes * lanes),
          slope(padded_entries(genes) * lanes),
          values(types * lanes),
          sums(padded_entries(types + 1) * lanes),
          curve(genes * lanes),
          curve_sums(padded_entries(packed_size(types + 1)) * lanes),
          none(genes * lanes) {
        none.fill(0);
    }

    // Lay the state of some spots side by side; other lanes are zero.
    void take(const State& state, std::int64_t first, int size) {
        values.fill(0);
        constants.fill(0);
        for (int lane = 0; lane < size; ++lane) {
            const double* row = state.values.data() + (first + lane) * types;
            for (int k = 0; k < types; ++k) values[k * lanes + lane] = row[k];
            constants[lane] = state.constants[first + lane];
        }
    }

    // Write some sums by type as rows.
    template <class T>
    void give(std::int64_t first, int size, const T* by_type, double* out) const {
        for (int lane = 0; lane < size; ++lane) {
            double* row = out + (first + lane) * types;
            for (int k = 0; k < types; ++k) row[k] = by_type[k * lanes + lane];
        }
    }

    const int types;
    // Expression; fitted values, then first derivatives; abundances; sums over genes.
    Buffer<double> seen, slope, values, sums;
    // Second derivatives, and their sums.
    Buffer<float> curve, curve_sums;
    // Multipliers where there are none.
    Buffer<std::int16_t> none;
    // By spot: constants, and sums of the sizes of derivatives.
    Sixteen constants{}, size{};
    // Of the absolute loss.
    double band = 1;
};

struct Likelihood::Sums {
    double loss = 0, before = 0, sharp = 0, size = 0, curvature = 0;
};

Likelihood::Likelihood(const double* signature, int number_of_types, const Expression& expression,
                       const double* weights, const LossSettings& settings)
    : spots(expression.spots),
      genes(expression.genes),
      types(number_of_types),
      signature_(signature),
      expression_(expression),
      settings_(settings),
      weights_(weights, weights + expression.genes),
      mean_(static_cast<std::size_t>(number_of_types)) {
    const auto signature_of = [&](std::int64_t gene, std::int64_t type) {
        return type < types ? signature_[gene * types + type] : 1.0;
    };
    for (std::int64_t gene = 0; gene < genes; ++gene) {
        if (weights_[gene] == 0) unweighted_.push_back(gene);
    }
    fit_.fill(types, genes, [&](std::int64_t type, std::int64_t gene) { return signature_of(gene, type); });
    slope_.fill(genes, types + 1, signature_of);
    if (has_width()) signed_.fill(genes, types + 1, signature_of);
    // Constants absorb any shift of the signature; a small one keeps rounding small.
    if (settings_.bias) {
        for (std::int64_t gene = 0; gene < genes; ++gene) {
            for (int k = 0; k < types; ++k) mean_[k] += signature_of(gene, k) / genes;
        }
    }
    // Signatures, and a one for the constant; then products of their pairs.
    const std::int64_t stride = padded(types + 1);
    centred_ = Buffer<float>(genes * stride);
    centred_.fill(0);
    for (std::int64_t gene = 0; gene < genes; ++gene) {
        for (int k = 0; k < types; ++k) {
            centred_[gene * stride + k] = static_cast<float>(signature_of(gene, k) - mean_[k]);
        }
        centred_[gene * stride + types] = 1;
    }
    std::vector<std::pair<int, int>> pairs;
    for (int a = 0; a <= types; ++a) {
        for (int b = 0; b <= a; ++b) pairs.emplace_back(a, b);
    }
    base_.assign(pairs.size(), 0.0f);
    curve_.fill(genes, static_cast<std::int64_t>(pairs.size()), [&](std::int64_t gene, std::int64_t entry) {
        const auto [a, b] = pairs[entry];
        const float product = centred_[gene * stride + a] * centred_[gene * stride + b];
        base_[entry] += static_cast<float>(weights_[gene]) * product;
        return product;
    });
}

void Likelihood::expand(State& state, bool curvature, Expansion& found, const Control& control) {
    run(state, curvature, 0, found, control);
}

void Likelihood::expand_renewed(State& state, double next_band, Expansion& found, const Control& control) {
    const std::int64_t size = groups_of(spots) * genes * lanes;
    if (renewed_.size() == 0) {
        multipliers_ = Buffer<std::int16_t>(size);
        multipliers_.fill(0);
        renewed_ = Buffer<std::int16_t>(size);
    }
    renewed_band_ = next_band;
    run(state, true, next_band, found, control);
}

void Likelihood::adopt() {
    std::swap(multipliers_, renewed_);
    band = renewed_band_;
}

void Likelihood::run(State& state, bool curvature, double next_band, Expansion& found, const Control& control) {
    const std::int64_t groups = groups_of(spots);
    found.gradient.assign(spots * types, 0.0);
    found.by_constant.assign(spots, 0.0);
    found.amount.assign(spots, 0.0);
    if (certified()) {
        found.sizes.assign(spots * types, 0.0);
        found.reach_up.assign(spots, 0.0);
        found.reach_down.assign(spots, 0.0);
    }
    std::shared_ptr<Curvature> fresh;
    if (curvature && !known_) {
        fresh = std::make_shared<Curvature>();
        fresh->blocks = Buffer<float>(groups * packed_size(types) * lanes);
        if (settings_.bias) fresh->cross.assign(spots * types, 0.0);
        if (has_width()) fresh->width_cross.assign(spots * types, 0.0);
        fresh->own.assign(spots, 0.0);
        fresh->width_constant.assign(spots, 0.0);
    }
    std::vector<Sums> parts(static_cast<std::size_t>(groups));
    parallel(groups, spots * genes * types, [&](std::int64_t from, std::int64_t to) {
        Workspace work(genes, types);
        for (std::int64_t group = from; group < to; ++group) {
            control.check();
            const std::int64_t first = group * lanes;
            const int size = static_cast<int>(std::min<std::int64_t>(lanes, spots - first));
            work.take(state, first, size);
            expression_.read(first, size, work.seen.data());
            fit_.multiply(work.values.data(), work.slope.data());
            Sums& sums = parts[group];
            if (certified()) {
                sums = absolute(group, size, state, next_band, work, found);
            } else {
                sums.loss = pointwise(first, size, state.width, work);
            }
            for (const std::int64_t gene : unweighted_) {
                std::fill_n(work.slope.data() + gene * lanes, lanes, 0.0);
                std::fill_n(work.curve.data() + gene * lanes, lanes, 0.0f);
            }
            slope_.multiply(work.slope.data(), work.sums.data());
            work.give(first, size, work.sums.data(), found.gradient.data());
            for (int lane = 0; lane < size; ++lane) {
                found.by_constant[first + lane] = work.sums[types * lanes + lane];
                found.amount[first + lane] = work.size[lane];
                sums.size += work.size[lane];
            }
            if (fresh) sums.curvature = collect(group, size, work, *fresh);
            if (fresh && certified()) {
                for (std::int64_t i = 0; i < genes * lanes; ++i) {
                    work.curve[i] = static_cast<float>(std::abs(work.slope[i]));
                }
                signed_.multiply(work.curve.data(), work.curve_sums.data());
                work.give(first, size, work.curve_sums.data(), found.sizes.data());
            }
        }
    });
    Sums total;
    for (const Sums& part : parts) {
        total.loss += part.loss;
        total.before += part.before;
        total.sharp += part.sharp;
        total.size += part.size;
        total.curvature += part.curvature;
    }
    double apart = settings_.width_cost * state.width;
    for (std::int64_t row = 0; row < spots && !settings_.ridge.empty(); ++row) {
        for (int k = 0; k < types; ++k) {
            const double pull = settings_.ridge[k] * state.values[row * types + k];
            found.gradient[row * types + k] += pull;
            apart += pull * state.values[row * types + k] / 2;
        }
    }
    found.value = total.loss + apart;
    found.before = next_band > 0 ? total.before + apart : found.value;
    found.excess = total.sharp - total.loss;
    found.by_width = has_width() ? settings_.width_cost - total.size : 0.0;
    if (!curvature) return;
    if (fresh) {
        fresh->width_own = total.curvature;
        found.curvature = fresh;
        if (constant_curvature()) known_ = fresh;
    } else {
        found.curvature = known_;
    }
    reduce(state, found, control);
}

// Losses of a group other than the absolute one, and their derivatives in place of the fitted values.
double Likelihood::pointwise(std::int64_t first, int size, double width, Workspace& work) const {
    const auto sum = [&](const auto& loss, const Sixteen& by_spot) {
        const double* seen = work.seen.data();
        double* fitted = work.slope.data();
        float* curve = work.curve.data();
        const Sixteen constants = work.constants, own = by_spot;
        const auto sums = sum_values<2>(weights_, [=](double weight, int lane, std::int64_t i) {
            const Slope at = loss.at(load(seen + i), load(fitted + i) + load(&constants[lane]), load(&own[lane]));
            store(weight * at.slope, fitted + i);
            store(weight * at.curvature, curve + i);
            return std::array{weight * at.loss, weight * size_of(at.slope)};
        });
        work.size = sums[1];
        return std::accumulate(sums[0].begin(), sums[0].end(), 0.0);
    };
    const auto [number, share] = settings_.numbers;
    Sixteen by_spot{};
    switch (settings_.loss) {
        case Loss::damped_square:
            for (std::int64_t i = 0; i < genes * lanes; ++i) {
                by_spot[i % lanes] = std::max(by_spot[i % lanes], std::abs(work.seen[i]));
            }
            for (double& most : by_spot) most = std::pow(std::max(most, 1 / number), -2);
            return sum(DampedSquare{number}, by_spot);
        case Loss::tube_square:
            return sum(TubeSquare{width}, by_spot);
        case Loss::log_square:
            return sum(LogSquare{number, share}, by_spot);
        default:
            std::copy_n(settings_.depth.data() + first, size, by_spot.begin());
            return sum(PoissonDeviance{number, share, multiple}, by_spot);
    }
}

// The same for the absolute loss, under multipliers renewed first where there is a next band.
Likelihood::Sums Likelihood::absolute(std::int64_t group, int size, State& state, double next_band,
                                      Workspace& work, Expansion& found) {
    const std::int64_t place = group * genes * lanes;
    const std::int16_t* kept = multipliers_.size() ? multipliers_.data() + place : work.none.data();
    const double* seen = work.seen.data();
    double* fitted = work.slope.data();
    float* curve = work.curve.data();
    Sixteen constants = work.constants;
    const auto residual = [&, seen, fitted](int lane, std::int64_t i) {
        return load(fitted + i) + load(&constants[lane]) - load(seen + i);
    };
    TubeAbsolute tube(state.width, band);
    Sums sums;
    if (next_band > 0) {
        const TubeAbsolute next(state.width, next_band);
        std::int16_t* renewed = renewed_.data() + place;
        const auto [before, net, bend] = sum_values<3>(weights_, [=](double weight, int lane, std::int64_t i) {
            const Values left = residual(lane, i);
            const auto at = tube.at(left, load(kept + i));
            store(at.multiplier, renewed + i);
            const auto then = next.at(left, load(renewed + i));
            return std::array{weight * at.loss, weight * then.multiplier, weight * then.inside};
        });
        kept = renewed;
        tube = next;
        for (int lane = 0; lane < size; ++lane) {
            sums.before += before[lane];
            if (!settings_.bias) continue;
            if (bend[lane] > 0) constants[lane] -= next_band * std::clamp(net[lane] / bend[lane], -1.0, 1.0);
            state.constants[group * lanes + lane] = constants[lane];
        }
    }
    const auto [loss, sharp, amount, up, down] = sum_values<5>(weights_, [=](double weight, int lane, std::int64_t i) {
        const Values left = residual(lane, i), none = all(0);
        const auto at = tube.at(left, load(kept + i));
        const Values slope = weight * at.multiplier;
        store(slope, fitted + i);
        store(weight * tube.steep * at.inside, curve + i);
        return std::array{weight * at.loss, weight * larger(size_of(left) - tube.width, none), size_of(slope),
                          larger(slope, none) * left, smaller(slope, none) * left};
    });
    work.size = amount;
    work.band = tube.band;
    for (int lane = 0; lane < size; ++lane) {
        sums.loss += loss[lane];
        sums.sharp += sharp[lane];
        found.reach_up[group * lanes + lane] = up[lane];
        found.reach_down[group * lanes + lane] = down[lane];
    }
    return sums;
}

// As the product with `curve_`, where most curvatures are zero: one outer product of a signature and a one after
// the other.
void Likelihood::collect_few(Workspace& work) const {
    const std::int64_t stride = padded(types + 1), square = (types + 1) * stride;
    Buffer<float> sums(square * lanes);
    sums.fill(0);
    for (std::int64_t gene = 0; gene < genes; ++gene) {
        const float* signature = centred_.data() + gene * stride;
        std::array<std::uint64_t, lanes / 2> bits;
        std::memcpy(&bits, work.curve.data() + gene * lanes, sizeof(bits));
        if (std::accumulate(bits.begin(), bits.end(), std::uint64_t{0}, std::bit_or<>()) == 0) continue;
        for (int lane = 0; lane < lanes; ++lane) {
            const float curve = work.curve[gene * lanes + lane];
            if (curve == 0) continue;
            over_panels(static_cast<int>(stride), [&](auto width, int begin) {
                using R = Row<float, decltype(width)::value>;
                const R others = R::load(signature + begin);
                float* sum = sums.data() + lane * square + begin;
                for (int a = begin; a <= types; ++a) {
                    (R::load(sum + a * stride) + others * (curve * signature[a])).store(sum + a * stride);
                }
            });
        }
    }
    float* out = work.curve_sums.data();
    for (int a = 0; a <= types; ++a) {
        for (int b = 0; b <= a; ++b, out += lanes) {
            for (int lane = 0; lane < lanes; ++lane) out[lane] = sums[lane * square + a * stride + b];
        }
    }
}

// Sum the second derivatives of a group over genes; return the sum of all.
double Likelihood::collect(std::int64_t group, int size, Workspace& work, Curvature& found) const {
    const std::int64_t first = group * lanes;
    const auto zeros = std::count(work.curve.begin(), work.curve.end(), 0.0f);
    if (static_cast<double>(genes * lanes - zeros) < few * static_cast<double>(genes * lanes)) {
        collect_few(work);
    } else {
        curve_.multiply(work.curve.data(), work.curve_sums.data());
    }
    for (std::int64_t i = 0; i < (packed_size(types + 1)) * lanes && certified(); ++i) {
        work.curve_sums[i] += static_cast<float>(floor_share / work.band) * base_[i / lanes];
    }
    float* packed = work.curve_sums.data();
    const float* cross = packed + packed_size(types) * lanes;
    const float* own = cross + types * lanes;
    float* block = found.blocks.data() + group * packed_size(types) * lanes;
    std::array<float, lanes> inverse{};
    for (int lane = 0; lane < size; ++lane) inverse[lane] = own[lane] > 0 && settings_.bias ? 1 / own[lane] : 0;
    for (int a = 0; a < types; ++a) {
        const float ridge = settings_.ridge.empty() ? 0.0f : static_cast<float>(settings_.ridge[a]);
        for (int b = 0; b <= a; ++b, packed += lanes, block += lanes) {
            for (int lane = 0; lane < lanes; ++lane) {
                const float entry = packed[lane] - cross[a * lanes + lane] * cross[b * lanes + lane] * inverse[lane];
                block[lane] = lane >= size ? 0 : a == b ? entry * (1 + safety) + ridge : entry;
            }
        }
    }
    double total = 0;
    for (int lane = 0; lane < size; ++lane) {
        found.own[first + lane] = own[lane];
        total += own[lane];
    }
    if (settings_.bias) {
        for (int k = 0; k < types; ++k) {
            for (int lane = 0; lane < lanes; ++lane) {
                work.sums[k * lanes + lane] = cross[k * lanes + lane] + own[lane] * mean_[k];
            }
        }
        work.give(first, size, work.sums.data(), found.cross.data());
    }
    if (has_width()) {
        // There is a curvature only where there is a slope.
        for (std::int64_t i = 0; i < genes * lanes; i += register_values) {
            const Values curve = load(work.curve.data() + i);
            store(load(work.slope.data() + i) > 0.0 ? -curve : curve, work.curve.data() + i);
        }
        const float* sums = work.curve_sums.data();
        signed_.multiply(work.curve.data(), work.curve_sums.data());
        work.give(first, size, sums, found.width_cross.data());
        for (int lane = 0; lane < size; ++lane) found.width_constant[first + lane] = sums[types * lanes + lane];
    }
    return total;
}

// Eliminate constants and width from the quadratic model (Schur complements).
void Likelihood::reduce(const State& state, Expansion& found, const Control& control) const {
    const Curvature& known = *found.curvature;
    const auto inverse = [&](std::int64_t row) {
        return settings_.bias && known.own[row] > 0 ? 1 / known.own[row] : 0.0;
    };
    if (has_width()) {
        const auto taken = sum_over_rows<2>(spots, spots * 4, [&](std::int64_t start, std::int64_t stop) {
            std::array<double, 2> sums{};
            for (auto row = start; row < stop; ++row) {
                const double along = known.width_constant[row], share = along * inverse(row);
                sums[0] += along * share;
                sums[1] += found.by_constant[row] * share;
            }
            return sums;
        });
        found.stiffness = known.width_own - taken[0];
        found.pull = found.by_width - taken[1];
        const bool at_rest = state.width <= 0 && found.pull > 0;
        if (found.stiffness <= 1e-9 * known.width_own || at_rest) found.stiffness = 0;
    }
    const bool coupled = found.stiffness > 0;
    const double root = std::sqrt(found.stiffness), drawn = coupled ? found.pull / root : 0.0;
    found.linear.resize(spots * types);
    multiply_blocks(known.blocks.data(), types, spots, state.values.data(), found.linear.data());
    if (coupled) found.coupling.assign(spots * types, 0.0);
    const auto along = sum_over_rows<1>(
        spots, spots * types * 4, [&](std::int64_t start, std::int64_t stop) {
            control.check();
            std::array<double, 1> sum{};
            for (auto row = start; row < stop; ++row) {
                double* linear = found.linear.data() + row * types;
                const double share = inverse(row);
                for (int k = 0; k < types; ++k) {
                    const std::int64_t i = row * types + k;
                    const double cross = settings_.bias ? known.cross[i] * share : 0.0;
                    linear[k] -= found.gradient[i] - cross * found.by_constant[row];
                    if (!coupled) continue;
                    found.coupling[i] = (known.width_cross[i] - cross * known.width_constant[row]) / root;
                    linear[k] += found.coupling[i] * drawn;
                    sum[0] += found.coupling[i] * state.values[i];
                }
            }
            return sum;
        })[0];
    for (std::int64_t i = 0; i < spots * types && coupled; ++i) found.linear[i] -= found.coupling[i] * along;
}

void Likelihood::complete(const State& state, const Expansion& at, State& change) const {
    const Curvature& known = *at.curvature;
    change.width = 0;
    if (at.stiffness > 0) {
        double along = 0;
        for (std::int64_t i = 0; i < spots * types; ++i) along += at.coupling[i] * change.values[i];
        change.width = -at.pull / at.stiffness - along / std::sqrt(at.stiffness);
        change.width = std::max(change.width, -state.width);
    }
    for (std::int64_t row = 0; row < spots; ++row) {
        double slope = at.by_constant[row] + known.width_constant[row] * change.width;
        for (int k = 0; k < types && settings_.bias; ++k) {
            slope += known.cross[row * types + k] * change.values[row * types + k];
        }
        change.constants[row] = settings_.bias && known.own[row] > 0 ? -slope / known.own[row] : 0.0;
    }
}

// By weak duality. The multipliers at either side of the width are scaled so that they sum to zero in every
// spot with a constant, and all so that their sizes sum to no more than the width costs: a feasible point.
// Its value is taken at the present abundances, less the most that other abundances could take from it, for
// which the ridge alone is counted.
double Likelihood::lower_bound(const State& state, const Expansion& at, const double* smooth, bool bounded) const {
    // Shares kept of the multipliers above and below zero in a spot, and the sum of their sizes then.
    const auto kept = [&](std::int64_t row) {
        const double up = (at.amount[row] + at.by_constant[row]) / 2, down = at.amount[row] - up;
        if (!settings_.bias) return std::array{1.0, 1.0, at.amount[row]};
        const double least = std::max(std::min(up, down), 0.0);
        return std::array{up > 0 ? std::min(least / up, 1.0) : 1.0, down > 0 ? std::min(least / down, 1.0) : 1.0,
                          2 * least};
    };
    double total = 0;
    for (std::int64_t row = 0; row < spots; ++row) total += kept(row)[2];
    const double scale = total > settings_.width_cost ? settings_.width_cost / total : 1.0;
    return sum_over_rows<1>(spots, spots * types * 8, [&](std::int64_t start, std::int64_t stop) {
        std::array<double, 1> bound{};
        for (auto row = start; row < stop; ++row) {
            const auto [up, down, unused] = kept(row);
            bound[0] += scale * (up * at.reach_up[row] + down * at.reach_down[row]);
            for (int k = 0; k < types; ++k) {
                const std::int64_t i = row * types + k;
                const double value = state.values[i], ridge = settings_.ridge[k], own = ridge * value;
                // The gradient has the ridge's part in it.
                const double push = at.gradient[i] - own;
                const double above = (at.sizes[i] + push) / 2, below = (at.sizes[i] - push) / 2;
                const double slope = scale * (up * above - down * below) + own + smooth[i];
                // Down the slope, an abundance with a bound only goes to zero.
                const bool held = bounded && slope > own;
                bound[0] -= held ? slope * value - own * value / 2 : slope * slope / (2 * ridge);
                bound[0] += value * (own + smooth[i]) / 2;
            }
        }
        return bound;
    })[0];
}

}  // namespace core
