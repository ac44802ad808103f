#include <span>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include "forms.hpp"
#include "jobs.hpp"

namespace core {
namespace {

template <class T>
using Each = std::optional<Vector<const T>>;
template <class T>
using Product = std::optional<Matrix<T>>;

template <class T>
Factors<T> factors_of(double scale, const Each<T>& each) {
    return {scale, each ? each->data() : nullptr};
}

template <class T>
void bind_products(nb::class_<Form>& form) {
    form.def(
        "product",
        [](const Form& self, const Matrix<const T>& values, double scale, const Each<T>& each,
           double own, double other, const Product<T>& product) {
            T* out = product ? product->data() : nullptr;
            nb::gil_scoped_release released;
            return self.product(values.data(), static_cast<int>(values.shape(0)),
                                factors_of(scale, each), {own, other}, out);
        },
        nb::arg("values").noconvert(), nb::arg("scale"), nb::arg("each").noconvert().none(),
        nb::arg("own"), nb::arg("other"), nb::arg("product").noconvert().none());
    form.def(
        "product_by_spot",
        [](const Form& self, const Matrix<const T>& values, double scale, const Each<T>& each,
           double own, double other, const Product<T>& product) {
            T* out = product ? product->data() : nullptr;
            nb::gil_scoped_release released;
            return self.product_by_spot(values.data(), static_cast<int>(values.shape(1)),
                                        factors_of(scale, each), {own, other}, out);
        },
        nb::arg("values").noconvert(), nb::arg("scale"), nb::arg("each").noconvert().none(),
        nb::arg("own"), nb::arg("other"), nb::arg("product").noconvert().none());
    form.def(
        "contrasted_product",
        [](const Form& self, const Matrix<const T>& values, double scale, const Each<T>& each,
           const Matrix<const std::int32_t>& orders, double ratio, const Product<T>& product) {
            T* out = product ? product->data() : nullptr;
            nb::gil_scoped_release released;
            return self.contrasted_product(
                values.data(), static_cast<int>(values.shape(0)), factors_of(scale, each),
                std::span<const std::int32_t>(orders.data(), orders.size()), ratio, out);
        },
        nb::arg("values").noconvert(), nb::arg("scale"), nb::arg("each").noconvert().none(),
        nb::arg("orders").noconvert(), nb::arg("ratio"), nb::arg("product").noconvert().none());
}

template <class T>
std::span<const T> span_of(const Vector<const T>& vector) {
    return {vector.data(), vector.size()};
}

}  // namespace

void bind_forms(nb::module_& m) {
    nb::class_<Form> form(m, "Form");
    form.def(
        "__init__",
        [](Form* self, const Vector<const std::int32_t>& pointers,
           const Vector<const std::int32_t>& columns, const Vector<const double>& values) {
            nb::gil_scoped_release released;
            new (self) Form(span_of(pointers), span_of(columns), span_of(values));
        },
        nb::arg("pointers").noconvert(), nb::arg("columns").noconvert(),
        nb::arg("values").noconvert());
    bind_products<float>(form);
    bind_products<double>(form);
}

}  // namespace core
