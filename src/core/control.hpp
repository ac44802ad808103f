// How a job is watched and stopped from another thread while it runs.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <vector>

namespace core {

struct Cancelled : std::runtime_error {
    Cancelled() : std::runtime_error("cancelled") {}
};

// Input that the caller's checks let through and the algorithm cannot use.
struct Refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// One flag that is polled inside the loops of a job, and what it writes of its progress.
class Control {
  public:
    void cancel() { stop_.store(true, std::memory_order_relaxed); }

    // Polled every few milliseconds at the latest.
    void check() const {
        if (stop_.load(std::memory_order_relaxed)) throw Cancelled();
    }

    std::atomic<long> step{0};
    std::atomic<double> residual{-1.0};

    // Whether somebody wants to see iterates.
    bool wants_iterates = false;

    void publish(std::vector<double>&& iterate, double at_residual) {
        std::lock_guard guard(mutex_);
        iterate_ = std::move(iterate);
        iterate_residual_ = at_residual;
        fresh_ = true;
    }

    // The latest iterate that was not taken yet; false where there is none.
    bool take(std::vector<double>& iterate, double& at_residual) {
        std::lock_guard guard(mutex_);
        if (!fresh_) return false;
        iterate = std::move(iterate_);
        at_residual = iterate_residual_;
        fresh_ = false;
        return true;
    }

  private:
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::vector<double> iterate_;
    double iterate_residual_ = 0.0;
    bool fresh_ = false;
};

// The job that this thread works for; null outside of one. What is shared out over threads polls it.
inline thread_local const Control* present_job = nullptr;

class JobScope {
  public:
    explicit JobScope(const Control& control) : before_(present_job) { present_job = &control; }
    ~JobScope() { present_job = before_; }
    JobScope(const JobScope&) = delete;
    JobScope& operator=(const JobScope&) = delete;

  private:
    const Control* before_;
};

}  // namespace core
