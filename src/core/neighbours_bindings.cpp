#include "neighbours.hpp"

#include "jobs.hpp"

namespace core {
namespace {

Positions as_positions(const Matrix<const double>& given) {
    return {given.data(), static_cast<std::int32_t>(given.shape(0)), static_cast<int>(given.shape(1))};
}

nb::tuple as_tuple(NeighbourRows&& rows) {
    const auto entries = static_cast<std::size_t>(rows.starts.back());
    return nb::make_tuple(to_array(std::move(rows.starts)), to_array(std::move(rows.columns), entries),
                          to_array(std::move(rows.distances), entries),
                          to_array(std::move(rows.weights), entries));
}

}  // namespace

void bind_neighbours(nb::module_& m) {
    m.def(
        "nearest_neighbours",
        [](const Matrix<const double>& positions, std::int32_t most, double relative, double absolute,
           bool mutual, std::int64_t most_edges, const nb::object& watch) {
            return as_tuple(run_job(watch, false, [&](Control& control) {
                return nearest_neighbours(as_positions(positions), {most, relative, absolute, mutual},
                                          most_edges, control);
            }));
        },
        nb::arg("positions"), nb::arg("most"), nb::arg("relative"), nb::arg("absolute"),
        nb::arg("mutual"), nb::arg("most_edges"), nb::arg("watch").none() = nb::none());
    m.def(
        "neighbours_within",
        [](const Matrix<const double>& positions, double radius, double order, double bandwidth,
           std::int64_t most_edges, const nb::object& watch) {
            return as_tuple(run_job(watch, false, [&](Control& control) {
                return neighbours_within(as_positions(positions), {radius, order, bandwidth}, most_edges,
                                         control);
            }));
        },
        nb::arg("positions"), nb::arg("radius"), nb::arg("order"), nb::arg("bandwidth"),
        nb::arg("most_edges"), nb::arg("watch").none() = nb::none());
}

}  // namespace core
