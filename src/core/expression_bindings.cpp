#include <nanobind/nanobind.h>

#include "expression.hpp"
#include "jobs.hpp"

namespace core {
namespace {

template <class T>
double reduce(Matrix<const T> expression, bool by_spot, Matrix<const T> factors, int count,
              Vector<const double> weights, Matrix<double> products, const nb::object& watch) {
    const auto genes = static_cast<std::int64_t>(expression.shape(by_spot ? 1 : 0));
    const auto spots = static_cast<std::int64_t>(expression.shape(by_spot ? 0 : 1));
    return run_job(watch, false, [&](Control&) {
        return reduce_expression<T>(expression.data(), by_spot, genes, spots, factors.data(), count,
                                    static_cast<int>(factors.shape(1)), weights.data(), products.data());
    });
}

}  // namespace

void bind_expression(nb::module_& m) {
    m.def("reduce_expression", &reduce<float>, nb::arg("expression"), nb::arg("by_spot"), nb::arg("factors"),
          nb::arg("count"), nb::arg("weights"), nb::arg("products"), nb::arg("watch").none());
    m.def("reduce_expression", &reduce<double>, nb::arg("expression"), nb::arg("by_spot"), nb::arg("factors"),
          nb::arg("count"), nb::arg("weights"), nb::arg("products"), nb::arg("watch").none());
}

}  // namespace core
