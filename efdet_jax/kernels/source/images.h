// Images as XLA hands them over, and their rows as threads share them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using Floats = ffi::Buffer<ffi::F32>;
using Result = ffi::ResultBuffer<ffi::F32>;

// The rows of some images, a few of one image at a time.
struct RowBlocks {
  int64_t images, rows, rows_of_block;

  int64_t OfImage() const { return (rows + rows_of_block - 1) / rows_of_block; }
  int64_t Count() const { return images * OfImage(); }

  // Calls visit(image, row) for the rows of a block, in order.
  template <class Visit>
  void ForRows(int64_t block, Visit visit) const {
    const int64_t image = block / OfImage(), first = block % OfImage() * rows_of_block;
    for (int64_t row = first; row < std::min(first + rows_of_block, rows); ++row) {
      visit(image, row);
    }
  }
};
