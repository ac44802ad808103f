// The extension module: one binding function a family of jobs.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "cpu.hpp"
#include "jobs.hpp"
#include "pool.hpp"

namespace nb = nanobind;

namespace core {
// One line a family, in the order of the house.
void bind_expression(nb::module_&);
void bind_likelihood(nb::module_&);
void bind_quadratic(nb::module_&);
void bind_factor(nb::module_&);
void bind_forms(nb::module_&);
void bind_neighbours(nb::module_&);
}  // namespace core

NB_MODULE(CORE_MODULE, m) {
    m.doc() = "Compiled core of napari-smoother.";
    // What a window still holds when the interpreter ends is not lost.
    nb::set_leak_warnings(false);
    nb::exception<core::Cancelled>(m, "Cancelled");
    nb::exception<core::Refused>(m, "Refused", PyExc_ValueError);
    m.attr("LEVEL") = CORE_LEVEL;
    m.def("best_level", &core::best_level);
    m.def("thread_count", &core::thread_count);
    m.def("set_thread_count", &core::set_thread_count, nb::arg("threads"));
    core::bind_expression(m);
    core::bind_likelihood(m);
    core::bind_quadratic(m);
    core::bind_factor(m);
    core::bind_forms(m);
    core::bind_neighbours(m);
}
