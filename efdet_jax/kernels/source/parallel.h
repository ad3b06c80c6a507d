// Work shared by the threads that XLA computes with.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "xla/ffi/api/ffi.h"

// Runs work(0), ... work(count - 1), each once, and returns when all are done.
//
// What a call computes must not depend on its thread: then results are the same for any
// number of threads.
template <class Work>
void Parallel(xla::ffi::ThreadPool& pool, int64_t count, const Work& work) {
  struct Progress {
    std::atomic<int64_t> next{0}, done{0};
  };
  // A helper that starts late finds nothing to do, but must find where that is written.
  auto progress = std::make_shared<Progress>();
  auto help = [progress, count, &work] {
    for (int64_t i; (i = progress->next.fetch_add(1)) < count;) {
      work(i);
      progress->done.fetch_add(1, std::memory_order_release);
    }
  };
  const int64_t helpers = std::min<int64_t>(pool.num_threads(), count) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule([help] { help(); });
  help();
  while (progress->done.load(std::memory_order_acquire) < count) {
    std::this_thread::yield();
  }
}

// Adds up arrays of `size` numbers that follow each other, always in the same order.
inline void SumParts(xla::ffi::ThreadPool& pool, const std::vector<float>& parts,
                     int64_t size, float* sum) {
  constexpr int64_t kShare = 1024;
  Parallel(pool, (size + kShare - 1) / kShare, [&](int64_t share) {
    const int64_t first = share * kShare, last = std::min(first + kShare, size);
    std::vector<double> total(last - first, 0.0);
    for (size_t part = 0; part < parts.size(); part += size) {
      for (int64_t i = first; i < last; ++i) total[i - first] += parts[part + i];
    }
    std::copy(total.begin(), total.end(), sum + first);
  });
}
