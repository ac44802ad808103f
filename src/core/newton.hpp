// Projected Newton steps on a bounded quadratic problem, whatever its data and its prior look like.
//
// After Bertsekas (1982, SIAM J. Control Optim. 20): the entries at zero with a gradient pushing them
// down are held, the rest is free; conjugate gradients improve the free entries in float; the step is
// projected and kept when the objective falls enough. Gradient, residual and objective are formed afresh
// in double after every step, so that what is reported is never the result of a recurrence.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "blocks.hpp"
#include "buffer.hpp"
#include "control.hpp"

namespace core {

// Values with everything measured at them; rows of padded types.
struct Point {
    Point(std::int64_t rows, int stride) : values(rows * stride), gradient(rows * stride), free(rows * stride) {}

    Buffer<double> values;
    Buffer<float> gradient;
    Buffer<Mask> free;
    double residual = std::numeric_limits<double>::infinity();
    double objective = std::numeric_limits<double>::infinity();
    // Derivative along the step that led here, at its beginning and at its end.
    double slope = 0, slope_after = 0;
    std::int64_t free_count = 0;
};

// A symmetric positive map on the free entries, applied to all rows at once.
class Cycle {
  public:
    virtual ~Cycle() = default;
    virtual void apply(const float* right, float* out) = 0;
};

// Either rows alone or a cycle over all of them.
struct Preconditioner {
    const Blocks* blocks = nullptr;
    Cycle* cycle = nullptr;
    const char* name = "";
};

// min over B, or over B >= 0, of 1/2 <B, H B> - <C, B>.
class Quadratic {
  public:
    Quadratic(std::int64_t rows, int types, bool bounded, const Control& control)
        : rows(rows), types(types), stride(padded(types)), bounded(bounded), control(control), real(stride) {
        for (int k = 0; k < stride; ++k) real[k] = k < types;
    }
    virtual ~Quadratic() = default;

    // Form gradient, free set, residual, objective and slopes since `before` afresh.
    virtual void measure(Point& point, const Point& before) = 0;

    // Write H values into `out` and return <values, H values>; values are zero where they are held.
    virtual double multiply(const float* values, float* out) = 0;
    virtual double multiply(const double* values, double* out) = 0;

    // The preconditioner for the entries that are free; after `stiffen` one that sees further.
    virtual Preconditioner precondition(const Point& point) = 0;
    virtual void stiffen() {}

    // Steps for one tenth of the residual that count as slow.
    virtual int patience() const { return 60; }

    // Where Newton's step fails: write values of which the objective is no higher.
    virtual void descend(const Point& from, Point& to) = 0;

    const std::int64_t rows;
    const int types, stride;
    const bool bounded;
    // Polled at every block of rows.
    const Control& control;
    // What residuals are measured against.
    double scale = 1;

  protected:
    // 1 for a type, 0 for what rows are padded with, which is never free.
    Buffer<Mask> real;
};

struct Options {
    double tolerance = 1e-5;
    std::int64_t maximum_steps = 5000;
    std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
    // Called after every outer step; may be empty.
    std::function<void(const Point&)> report;
};

struct Work {
    std::int64_t steps = 0, products = 0;
    // What the last step was preconditioned with; empty where none was taken.
    std::string method;
};

// Steps until the residual is small or the allowance is spent. `point` has been measured.
Point newton(Quadratic& problem, Point point, const Options& options, Work& work, Control& control);

}  // namespace core
