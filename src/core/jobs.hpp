// From Python to a job of the core and back: the one place that lets go of the interpreter.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "control.hpp"

namespace core {

namespace nb = nanobind;

// When the caller of a job first looks after it, and how often then. Every look takes the interpreter, which
// a window that paints may hold for milliseconds: a short job is over before.
inline constexpr auto look_first = std::chrono::milliseconds(10), look_every = std::chrono::milliseconds(4);

// Arrays as they come in: contiguous, on the processor; shapes are checked in Python.
template <class T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <class T>
using Cube = nb::ndarray<T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

// A numpy array that owns what a job has found.
template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> to_array(std::vector<T>&& values) {
    auto kept = std::make_unique<std::vector<T>>(std::move(values));
    T* data = kept->data();
    const std::size_t size = kept->size();
    nb::capsule owner(kept.release(), [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::ndarray<nb::numpy, T, nb::ndim<1>>(data, {size}, owner);
}

// The same for large results, which need not be set to 0 before they are found.
template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> to_array(std::unique_ptr<T[]>&& values, std::size_t size) {
    T* data = values.get();
    nb::capsule owner(values.release(), [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::ndarray<nb::numpy, T, nb::ndim<1>>(data, {size}, owner);
}

// Run `work(control)` without the interpreter lock and return what it returns.
//
// Where `watch` is a callable, the job runs in a thread of its own, and this one calls
// `watch(step, residual, iterate or None)` every few milliseconds; an exception that it raises
// stops the job and is raised once the job has ended. What a window does meanwhile holds up
// neither: the job needs the interpreter nowhere.
template <class Work>
auto run_job(const nb::object& watch, bool iterates, Work&& work) {
    using Result = std::invoke_result_t<Work, Control&>;
    Control control;
    control.wants_iterates = iterates;
    if (watch.is_none()) {
        nb::gil_scoped_release released;
        const JobScope scope(control);
        return work(control);
    }
    std::conditional_t<std::is_void_v<Result>, bool, std::optional<Result>> result{};
    std::exception_ptr failure, wish;
    std::mutex mutex;
    std::condition_variable ended;
    bool done = false;
    std::thread thread([&] {
        const JobScope scope(control);
        try {
            if constexpr (std::is_void_v<Result>) {
                work(control);
            } else {
                result.emplace(work(control));
            }
        } catch (...) {
            failure = std::current_exception();
        }
        std::lock_guard guard(mutex);
        done = true;
        ended.notify_one();
    });
    std::vector<double> iterate;
    double residual = -1.0;
    auto look = [&] {
        nb::object seen = nb::none();
        const bool fresh = control.take(iterate, residual);
        if (fresh) seen = nb::cast(to_array(std::move(iterate)));
        watch(control.step.load(), fresh ? residual : control.residual.load(), seen);
    };
    for (auto pause = look_first;; pause = look_every) {
        {
            nb::gil_scoped_release released;
            std::unique_lock lock(mutex);
            if (ended.wait_for(lock, pause, [&] { return done; })) break;
        }
        if (wish) continue;
        try {
            if (PyErr_CheckSignals() != 0) throw nb::python_error();
            look();
        } catch (...) {
            wish = std::current_exception();
            control.cancel();
        }
    }
    thread.join();
    if (wish) std::rethrow_exception(wish);
    if (failure) std::rethrow_exception(failure);
    if (iterates) look();  // the last one
    if constexpr (!std::is_void_v<Result>) return std::move(*result);
}

}  // namespace core
