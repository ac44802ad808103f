// Sparse linear systems as Python sees them.
#include <memory>

#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>

#include "factor.hpp"
#include "jobs.hpp"
#include "scaled_gradients.hpp"

namespace core {
namespace {

std::shared_ptr<Pattern> make_pattern(Vector<const int> pointers, Vector<const int> columns,
                                      Vector<const double> entries, std::int64_t most,
                                      nb::object watch) {
    return run_job(watch, false, [&](Control& control) {
        return std::make_shared<Pattern>(
            std::span(pointers.data(), pointers.size()), std::span(columns.data(), columns.size()),
            std::span(entries.data(), entries.size()), most, control);
    });
}

std::shared_ptr<Factor> make_factor(std::shared_ptr<Pattern> pattern, double shift, double scale,
                                    nb::object watch) {
    return run_job(watch, false, [&](Control& control) {
        return std::make_shared<Factor>(pattern, shift, scale, control);
    });
}

}  // namespace

void bind_factor(nb::module_& m) {
    nb::class_<Pattern>(m, "Pattern")
        .def_prop_ro("size", &Pattern::size)
        .def_prop_ro("entries", &Pattern::entries)
        .def_prop_ro("operations", &Pattern::operations)
        .def("order", [](const Pattern& self) {
            return to_array(std::vector<int>(self.order()));
        });
    m.def("make_pattern", &make_pattern, nb::arg("pointers"), nb::arg("columns"),
          nb::arg("entries"), nb::arg("most"), nb::arg("watch") = nb::none());
    m.def(
        "inverse_diagonals",
        [](const Pattern& pattern, Vector<const double> shifts, double scale, nb::object watch) {
            return to_array(run_job(watch, false, [&](Control& control) {
                return pattern.inverse_diagonals(std::span(shifts.data(), shifts.size()), scale,
                                                 control);
            }));
        },
        nb::arg("pattern"), nb::arg("shifts"), nb::arg("scale"), nb::arg("watch") = nb::none());

    nb::class_<Factor>(m, "Factor")
        .def_prop_ro("size", &Factor::size)
        .def(
            "solve",
            [](const Factor& self, Matrix<const double> right, Matrix<double> values,
               nb::object watch) {
                return run_job(watch, false, [&](Control& control) {
                    return self.solve(right.data(), values.data(),
                                      static_cast<int>(right.shape(1)), control);
                });
            },
            nb::arg("right"), nb::arg("values"), nb::arg("watch") = nb::none());
    m.def("make_factor", &make_factor, nb::arg("pattern"), nb::arg("shift"), nb::arg("scale"),
          nb::arg("watch") = nb::none());

    m.def(
        "improve",
        [](Vector<const int> pointers, Vector<const int> columns, Vector<const double> entries,
           Vector<const double> right, Vector<double> values, double tolerance, long steps,
           nb::object watch) {
            return run_job(watch, false, [&](Control& control) {
                return improve(std::span(pointers.data(), pointers.size()), columns.data(),
                               entries.data(), right.data(), values.data(), tolerance, steps,
                               control);
            });
        },
        nb::arg("pointers"), nb::arg("columns"), nb::arg("entries"), nb::arg("right"),
        nb::arg("values"), nb::arg("tolerance"), nb::arg("steps"), nb::arg("watch") = nb::none());
}

}  // namespace core
