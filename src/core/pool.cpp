#include "pool.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace core {
namespace {

constexpr int most_threads = 64;

// Times a thread looks again before it goes to sleep: some 20 microseconds, in which the next piece
// of a running job nearly always comes.
constexpr int looks = 1000;

void relax() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

class Pool {
  public:
    explicit Pool(int helpers) {
        for (int number = 0; number < helpers; ++number) {
            threads_.emplace_back([this] { serve(); });
        }
    }

    ~Pool() {
        {
            std::lock_guard guard(mutex_);
            ending_.store(true);
            round_.fetch_add(1);
        }
        wake_.notify_all();
        for (auto& thread : threads_) thread.join();
    }

    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    // False where another job has the threads: its caller then works alone.
    bool run(std::int64_t items, Piece piece, void* context) {
        if (busy_.exchange(true, std::memory_order_acquire)) return false;
        piece_ = piece;
        context_ = context;
        items_ = items;
        // Several ranges a thread, so that one that is held up does not hold up the others.
        const auto workers = static_cast<std::int64_t>(threads_.size()) + 1;
        size_ = std::max<std::int64_t>(1, (items + 4 * workers - 1) / (4 * workers));
        next_.store(0, std::memory_order_relaxed);
        error_ = nullptr;
        open_.store(true);
        {
            std::lock_guard guard(mutex_);
            round_.fetch_add(1);
        }
        if (sleeping_.load() > 0) wake_.notify_all();
        work();
        // Who wakes up only now finds it closed and touches nothing.
        open_.store(false);
        for (int look = 0; inside_.load() > 0; ++look) {
            if (look < looks) {
                relax();
            } else {
                std::this_thread::yield();
            }
        }
        const std::exception_ptr error = std::exchange(error_, nullptr);
        busy_.store(false, std::memory_order_release);
        if (error) std::rethrow_exception(error);
        return true;
    }

  private:
    void work() {
        try {
            for (;;) {
                const auto first = next_.fetch_add(size_, std::memory_order_relaxed);
                if (first >= items_) return;
                piece_(context_, first, std::min(first + size_, items_));
            }
        } catch (...) {
            std::lock_guard guard(mutex_);
            if (!error_) error_ = std::current_exception();
            next_.store(items_, std::memory_order_relaxed);
        }
    }

    void serve() {
        std::uint64_t seen = 0;
        for (;;) {
            for (int look = 0; look < looks && round_.load() == seen; ++look) relax();
            if (round_.load() == seen) {
                std::unique_lock lock(mutex_);
                sleeping_.fetch_add(1);
                wake_.wait(lock, [&] { return round_.load() != seen; });
                sleeping_.fetch_sub(1);
            }
            seen = round_.load();
            if (ending_.load()) return;
            inside_.fetch_add(1);
            if (open_.load()) work();
            inside_.fetch_sub(1);
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<std::uint64_t> round_{0};
    std::atomic<int> inside_{0}, sleeping_{0};
    std::atomic<bool> busy_{false}, open_{false}, ending_{false};
    std::atomic<std::int64_t> next_{0};
    Piece piece_ = nullptr;
    void* context_ = nullptr;
    std::int64_t items_ = 0, size_ = 1;
    std::exception_ptr error_;
    std::vector<std::thread> threads_;
};

std::mutex making;
std::shared_ptr<Pool> pool;
int threads = 0;

int default_count() {
    const int found = static_cast<int>(std::thread::hardware_concurrency());
    return std::clamp(found, 1, 8);
}

#if defined(__unix__) || defined(__APPLE__)
void before_fork() { making.lock(); }
void in_parent() { making.unlock(); }
void in_child() {
    // The threads do not exist here: what is left of them can neither be joined nor freed.
    if (pool) static_cast<void>(new std::shared_ptr<Pool>(std::move(pool)));
    pool.reset();
    making.unlock();
}
#endif

std::shared_ptr<Pool> present_pool() {
    std::lock_guard guard(making);
    if (threads == 0) {
        threads = default_count();
#if defined(__unix__) || defined(__APPLE__)
        pthread_atfork(before_fork, in_parent, in_child);
#endif
    }
    if (!pool && threads > 1) pool = std::make_shared<Pool>(threads - 1);
    return pool;
}

}  // namespace

int thread_count() {
    present_pool();
    return threads;
}

void set_thread_count(int count) {
    present_pool();
    std::shared_ptr<Pool> before;  // ends when nobody uses it, outside the lock
    std::lock_guard guard(making);
    before = std::exchange(pool, nullptr);
    threads = std::clamp(count, 1, most_threads);
}

void share_out(std::int64_t items, Piece piece, void* context) {
    const std::shared_ptr<Pool> workers = present_pool();
    if (!workers || !workers->run(items, piece, context)) piece(context, 0, items);
}

}  // namespace core
