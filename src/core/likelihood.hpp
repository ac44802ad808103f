// The data's part of an objective that weighs every gene of every spot in its own way.
//
//     sum over genes g and spots i of  w_g loss(y_gi, x_g b_i + c_i)  +  1/2 sum_ik ridge_k b_ik^2  +  f e
//
// with a pointwise loss, where wanted a constant c of every spot, and for nu-SVR one width e that all spots
// share, which costs f. Around a state it has a value, gradients and a quadratic model with a Gram matrix
// for every spot: the curvatures of the spot's genes times the products of pairs of signatures. Sixteen spots
// are worked on at a time, one a lane, so that nothing of the size genes x spots is held.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "blocks.hpp"
#include "buffer.hpp"
#include "control.hpp"

namespace core {

enum class Loss { damped_square, tube_square, tube_absolute, log_square, poisson };

// Genes x spots: dense in either precision, at any strides, or sparse by spot.
struct Expression {
    std::int64_t genes = 0, spots = 0;
    const float* single = nullptr;
    const double* dense = nullptr;
    std::int64_t gene_stride = 0, spot_stride = 0;
    const std::int64_t* pointers = nullptr;
    const std::int32_t* indices = nullptr;
    const double* entries = nullptr;

    // Write so many spots, at most sixteen, side by side (genes x 16); other lanes become zero.
    void read(std::int64_t first, int count, double* panel) const;
};

// What a loss needs besides the data.
struct LossSettings {
    Loss loss;
    bool bias;
    // Largest weight (damped square); added count, share of the curvature kept (log square); share of the
    // expected curvature added, floor of the mean in it (Poisson).
    std::array<double, 2> numbers;
    // Poisson: the depth of every spot.
    std::span<const double> depth;
    // Curvature added to every type; what the width costs.
    std::span<const double> ridge;
    double width_cost;
};

// Abundances (spots x types), constants (zero without a bias) and the width.
struct State {
    std::vector<double> values, constants;
    double width = 0;
};

// Second derivatives summed over genes.
struct Curvature {
    // Gram matrices, constants eliminated (see `LocalBlocks`).
    Buffer<float> blocks;
    // Between the abundances and the constant of each spot, and of the constant; then by the width.
    std::vector<double> cross, width_cross, own, width_constant;
    double width_own = 0;
};

// The likelihood around a state.
struct Expansion {
    double value = 0;
    std::vector<double> gradient, by_constant;
    double by_width = 0;
    std::shared_ptr<const Curvature> curvature;

    // The quadratic model in the abundances alone: 1/2 <b, H b> - <linear, b> - 1/2 <coupling, b>^2; no
    // coupling where `stiffness`, that of the width, is zero. `pull` is what is left of its gradient.
    std::vector<double> linear, coupling;
    double stiffness = 0, pull = 0;

    // Of the absolute loss: the value under the multipliers before, the true loss less the smoothed one,
    // and by spot for the lower bound: derivatives by abundances with the sizes of the multipliers, sums
    // of these sizes, and of multipliers times residuals for those above and below zero.
    double before = 0, excess = 0;
    std::vector<double> sizes, amount, reach_up, reach_down;
};

class Likelihood {
  public:
    // Signature (genes x types), expression and a weight for every gene; all must outlive this.
    Likelihood(const double* signature, int types, const Expression& expression, const double* weights,
               const LossSettings& settings);

    // Value and gradients at a state, and unless not wanted the quadratic model.
    void expand(State& state, bool curvature, Expansion& found, const Control& control);

    // The same under multipliers renewed at this state and with another band. Every constant then takes
    // one step of Newton alone: pushes up and down must be equal in a spot for the lower bound to be
    // close. The multipliers hold once they are adopted, so that a state can be refused.
    void expand_renewed(State& state, double next_band, Expansion& found, const Control& control);
    void adopt();

    // Complete a change of the abundances by what constants and width do meanwhile.
    void complete(const State& state, const Expansion& at, State& change) const;

    // A number that the objective nowhere goes below, from the multipliers at a state as a point of the
    // dual problem; `smooth` is weight Q B.
    double lower_bound(const State& state, const Expansion& at, const double* smooth, bool bounded) const;

    bool has_width() const { return settings_.loss == Loss::tube_square || certified(); }
    bool certified() const { return settings_.loss == Loss::tube_absolute; }
    bool constant_curvature() const { return settings_.loss == Loss::damped_square; }
    bool bias() const { return settings_.bias; }

    // Of the band in which the absolute loss is smooth, set only while there are no multipliers.
    double band = 1e-7;
    // Multiple of the expected curvature that Poisson's is kept below.
    double multiple = infinity;

    const std::int64_t spots, genes;
    const int types;

  private:
    static constexpr double infinity = std::numeric_limits<double>::infinity();

    // Numbers x entries, in panels as wide as the registers allow.
    template <class T>
    struct Factors {
        std::int64_t count = 0;
        int panels = 0;
        Buffer<T> data;

        template <class Entry>
        void fill(std::int64_t numbers, std::int64_t entries, Entry&& entry);
        // out[entry] = sum over numbers of factor times row, rows being sixteen lanes.
        void multiply(const T* rows, T* out) const;
    };
    struct Workspace;
    struct Sums;

    void run(State& state, bool curvature, double next_band, Expansion& found, const Control& control);
    double pointwise(std::int64_t first, int size, double width, Workspace& work) const;
    Sums absolute(std::int64_t group, int size, State& state, double next_band, Workspace& work,
                  Expansion& found);
    double collect(std::int64_t group, int size, Workspace& work, Curvature& found) const;
    void collect_few(Workspace& work) const;
    void reduce(const State& state, Expansion& found, const Control& control) const;

    const double* signature_;
    Expression expression_;
    LossSettings settings_;
    std::vector<double> weights_, mean_;
    std::vector<std::int64_t> unweighted_;
    // Signatures less their mean and a one; sums over genes of the products of their pairs, by weight.
    Buffer<float> centred_;
    std::vector<float> base_;
    Factors<double> fit_, slope_;
    Factors<float> curve_, signed_;
    // Of DWLS, whose curvature is the same everywhere.
    std::shared_ptr<const Curvature> known_;
    Buffer<std::int16_t> multipliers_, renewed_;
    double renewed_band_ = 0;
};

}  // namespace core
