#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include "implicit_quadratic.hpp"
#include "jobs.hpp"
#include "local_quadratic.hpp"
#include "quadratic.hpp"

namespace core {

namespace {

template <class T>
std::span<const T> span_of(const Vector<const T>& array) {
    return {array.data(), array.size()};
}

std::chrono::steady_clock::time_point deadline_in(double seconds) {
    using Clock = std::chrono::steady_clock;
    if (!(seconds < 1e9)) return Clock::time_point::max();
    return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

void bind_quadratic(nb::module_& m) {
    nb::class_<Prior>(m, "Prior")
        .def(
            "__init__",
            [](Prior* self, Vector<const std::int32_t> pointers, Vector<const std::int32_t> neighbours,
               Vector<const double> entries, Vector<const double> diagonal, Vector<const std::int32_t> order,
               int each) {
                nb::gil_scoped_release released;
                new (self) Prior(span_of(pointers), span_of(neighbours), span_of(entries), span_of(diagonal),
                                 span_of(order), each);
            },
            nb::arg("pointers"), nb::arg("neighbours"), nb::arg("entries"), nb::arg("diagonal"),
            nb::arg("order"), nb::arg("each") = 1)
        .def("prepare", &Prior::prepare, nb::call_guard<nb::gil_scoped_release>());

    m.def(
        "solve_bounded",
        [](const Prior& prior, Matrix<const double> gram, Vector<const double> eigenvalues,
           Matrix<const double> basis, Matrix<const double> linear, Matrix<double> values, bool warm,
           double weight, bool bounded, double tolerance, double maximum_seconds, std::int64_t maximum_steps,
           std::string preconditioner, const nb::object& watch, bool iterates) {
            const DataTerm data{gram.data(), eigenvalues.data(), basis.data(), linear.data(),
                                static_cast<int>(gram.shape(0))};
            const Request request{weight, bounded, tolerance, maximum_steps, deadline_in(maximum_seconds), std::move(preconditioner)};
            const Solution found = run_job(watch, iterates, [&](Control& control) {
                return solve_bounded(data, prior, request, warm, values.data(), control);
            });
            return std::tuple(found.residual, found.objective, found.steps, found.products, found.converged,
                              found.method);
        },
        nb::arg("prior"), nb::arg("gram"), nb::arg("eigenvalues"), nb::arg("basis"), nb::arg("linear"),
        nb::arg("values"), nb::kw_only(), nb::arg("warm"), nb::arg("weight"), nb::arg("bounded"),
        nb::arg("tolerance"), nb::arg("maximum_seconds"), nb::arg("maximum_steps"),
        nb::arg("preconditioner"), nb::arg("watch").none(),
        nb::arg("iterates"));

    m.def(
        "solve_implicit",
        [](std::shared_ptr<Pattern> pattern, Vector<const int> pointers, Vector<const int> columns,
           Vector<const double> entries, Matrix<const double> gram, Vector<const double> eigenvalues,
           Matrix<const double> basis, Matrix<const double> linear, Matrix<double> values, bool warm,
           double weight, bool bounded, double tolerance, std::int64_t maximum_steps, const nb::object& watch,
           bool iterates) {
            const DataTerm data{gram.data(), eigenvalues.data(), basis.data(), linear.data(),
                                static_cast<int>(gram.shape(0))};
            const Covariance covariance{std::move(pattern), pointers.data(), columns.data(), entries.data()};
            const Request request{weight, bounded, tolerance, maximum_steps, deadline_in(1e300), {}};
            const Solution found = run_job(watch, iterates, [&](Control& control) {
                return solve_implicit(data, covariance, request, warm, values.data(), control);
            });
            return std::tuple(found.residual, found.objective, found.steps, found.products, found.converged,
                              found.method);
        },
        nb::arg("pattern"), nb::arg("pointers"), nb::arg("columns"), nb::arg("entries"), nb::arg("gram"),
        nb::arg("eigenvalues"), nb::arg("basis"), nb::arg("linear"), nb::arg("values"), nb::kw_only(),
        nb::arg("warm"), nb::arg("weight"), nb::arg("bounded"), nb::arg("tolerance"), nb::arg("maximum_steps"),
        nb::arg("watch").none(), nb::arg("iterates"));

    m.attr("LANES") = lanes;

    m.def(
        "solve_local",
        [](const Prior& prior, Cube<const float> blocks, Matrix<const double> linear,
           std::optional<Matrix<const double>> coupling, Matrix<double> values, double weight, bool bounded,
           double scale, double tolerance, std::int64_t maximum_steps, const nb::object& watch) {
            const LocalTerm term{blocks.data(), linear.data(), coupling ? coupling->data() : nullptr,
                                 static_cast<int>(linear.shape(1))};
            const Request request{weight, bounded, tolerance, maximum_steps, deadline_in(1e300), {}};
            const Solution found = run_job(watch, false, [&](Control& control) {
                return solve_local(term, prior, request, scale, values.data(), control);
            });
            return std::tuple(found.residual, found.objective, found.steps, found.products, found.converged,
                              found.method);
        },
        nb::arg("prior"), nb::arg("blocks"), nb::arg("linear"), nb::arg("coupling").none(), nb::arg("values"),
        nb::kw_only(), nb::arg("weight"), nb::arg("bounded"), nb::arg("scale"), nb::arg("tolerance"),
        nb::arg("maximum_steps"), nb::arg("watch").none());

    m.def(
        "multiply_prior",
        [](const Prior& prior, Matrix<const double> values, Matrix<double> out) {
            nb::gil_scoped_release released;
            multiply_prior(prior, static_cast<int>(values.shape(1)), values.data(), out.data());
        },
        nb::arg("prior"), nb::arg("values"), nb::arg("out"));
}

}  // namespace core
