#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include "jobs.hpp"
#include "likelihood.hpp"
#include "proximal_newton.hpp"

namespace core {
namespace {

template <class T>
using Strided = nb::ndarray<const T, nb::ndim<2>, nb::device::cpu>;

// A likelihood with the arrays that it reads.
struct Held {
    Matrix<const double> signature;
    Vector<const double> weights, depth, ridge;
    nb::object expression;
    Likelihood likelihood;
};

Expression expression_of(const nb::object& given) {
    Expression found;
    const auto dense = [&](const auto& array) {
        found.genes = static_cast<std::int64_t>(array.shape(0));
        found.spots = static_cast<std::int64_t>(array.shape(1));
        found.gene_stride = array.stride(0);
        found.spot_stride = array.stride(1);
        return array.data();
    };
    if (Strided<float> single; nb::try_cast(given, single, false)) {
        found.single = dense(single);
    } else if (Strided<double> both; nb::try_cast(given, both, false)) {
        found.dense = dense(both);
    } else {
        using Sparse = std::tuple<std::int64_t, Vector<const std::int64_t>, Vector<const std::int32_t>, Vector<const double>>;
        const auto [genes, pointers, indices, entries] = nb::cast<Sparse>(given);
        found.genes = genes;
        found.spots = static_cast<std::int64_t>(pointers.size()) - 1;
        found.pointers = pointers.data();
        found.indices = indices.data();
        found.entries = entries.data();
    }
    return found;
}

Loss loss_of(const std::string& name) {
    if (name == "damped square") return Loss::damped_square;
    if (name == "tube square") return Loss::tube_square;
    if (name == "tube absolute") return Loss::tube_absolute;
    if (name == "log square") return Loss::log_square;
    if (name == "poisson") return Loss::poisson;
    throw Refused("there is no loss " + name);
}

State state_of(const Matrix<const double>& values, const Vector<const double>& constants, double width) {
    return {{values.data(), values.data() + values.size()}, {constants.data(), constants.data() + constants.size()}, width};
}

}  // namespace

void bind_likelihood(nb::module_& m) {
    nb::class_<Held>(m, "Likelihood")
        .def(
            "__init__",
            [](Held* self, const std::string& loss, Matrix<const double> signature, nb::object expression,
               Vector<const double> weights, bool bias, double first, double second, Vector<const double> depth,
               Vector<const double> ridge, double width_cost) {
                const LossSettings settings{loss_of(loss), bias, {first, second}, {depth.data(), depth.size()},
                                            {ridge.data(), ridge.size()}, width_cost};
                const Expression read = expression_of(expression);
                new (self) Held{signature, weights, depth, ridge, expression,
                                Likelihood(signature.data(), static_cast<int>(signature.shape(1)), read,
                                           weights.data(), settings)};
            },
            nb::arg("loss"), nb::arg("signature"), nb::arg("expression"), nb::arg("weights"), nb::kw_only(),
            nb::arg("bias"), nb::arg("first"), nb::arg("second"), nb::arg("depth"), nb::arg("ridge"),
            nb::arg("width_cost"))
        .def(
            "evaluate",
            [](Held& self, Matrix<const double> values, Vector<const double> constants, double width,
               const nb::object& watch) {
                Likelihood& likelihood = self.likelihood;
                const auto found = run_job(watch, false, [&](Control& control) {
                    State state = state_of(values, constants, width);
                    Expansion at;
                    likelihood.expand(state, false, at, control);
                    return std::tuple(at.value, std::move(at.gradient), at.by_constant, at.by_width);
                });
                auto [value, gradient, by_constant, by_width] = found;
                return nb::make_tuple(value, to_array(std::move(gradient)), to_array(std::move(by_constant)), by_width);
            },
            nb::arg("values"), nb::arg("constants"), nb::arg("width"), nb::arg("watch").none())
        .def(
            "minimise",
            [](Held& self, const Prior& prior, double weight, bool bounded, double tolerance, double band,
               Matrix<const double> values, Vector<const double> constants, double width, const nb::object& watch,
               bool iterates) {
                Minimum found = run_job(watch, iterates, [&](Control& control) {
                    self.likelihood.band = band;
                    return minimise(self.likelihood, prior, weight, bounded, tolerance,
                                    state_of(values, constants, width), control);
                });
                return nb::make_tuple(to_array(std::move(found.state.values)),
                                      to_array(std::move(found.state.constants)), found.state.width, found.value,
                                      found.residual, found.steps, found.inner_steps,
                                      to_array(std::move(found.history)), found.converged);
            },
            nb::arg("prior"), nb::arg("weight"), nb::kw_only(), nb::arg("bounded"), nb::arg("tolerance"),
            nb::arg("band"), nb::arg("values"), nb::arg("constants"), nb::arg("width"), nb::arg("watch").none(),
            nb::arg("iterates"))
        .def(
            "expand",
            [](Held& self, Matrix<const double> values, Vector<const double> constants, double width) {
                Likelihood& likelihood = self.likelihood;
                Control control;
                State state = state_of(values, constants, width);
                Expansion at;
                {
                    nb::gil_scoped_release released;
                    likelihood.expand(state, true, at, control);
                }
                return nb::make_tuple(
                    at.value, to_array(std::move(at.gradient)),
                    to_array(std::vector<float>(at.curvature->blocks.begin(), at.curvature->blocks.end())),
                    to_array(std::move(at.linear)));
            },
            nb::arg("values"), nb::arg("constants"), nb::arg("width"));
}

}  // namespace core
