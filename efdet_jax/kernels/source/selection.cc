// The highest values of every row, in order, and where they stand.

#include <cstdint>
#include <cstring>
#include <functional>

#include "images.h"
#include "parallel.h"

namespace {

constexpr int kShift = 16, kBuckets = 1 << 16;

// Grows with the value; as XLA orders them, -0 comes before 0 and NaN last.
uint32_t Order(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits >> 31 ? ~bits : bits | 1u << 31;
}

// Of equal values the one that stands first is the higher one.
uint64_t Rank(float value, int64_t index) {
  return uint64_t{Order(value)} << 32 | (UINT32_MAX - static_cast<uint32_t>(index));
}

void TopOfRow(const float* values, int64_t size, int64_t count, float* highest,
              int32_t* places) {
  // Counting what shares its upper half leaves little more than `count` to sort.
  std::vector<uint32_t> sharing(kBuckets);
  for (int64_t i = 0; i < size; ++i) ++sharing[Order(values[i]) >> kShift];
  int64_t above = 0;
  uint32_t bucket = kBuckets;
  while (above < count) above += sharing[--bucket];
  std::vector<uint64_t> ranks;
  ranks.reserve(above);
  for (int64_t i = 0; i < size; ++i) {
    if (Order(values[i]) >> kShift >= bucket) ranks.push_back(Rank(values[i], i));
  }
  const auto last = ranks.begin() + count;
  std::nth_element(ranks.begin(), last - 1, ranks.end(), std::greater<>());
  std::sort(ranks.begin(), last, std::greater<>());
  for (int64_t i = 0; i < count; ++i) {
    places[i] = static_cast<int32_t>(UINT32_MAX - static_cast<uint32_t>(ranks[i]));
    highest[i] = values[places[i]];
  }
}

ffi::Error Top(ffi::ThreadPool pool, Floats values, Result highest,
               ffi::ResultBuffer<ffi::S32> places) {
  const int64_t size = values.dimensions()[1], count = highest->dimensions()[1];
  if (count < 1 || count > size) return ffi::Error::InvalidArgument("no such count");
  Parallel(pool, values.dimensions()[0], [&](int64_t row) {
    TopOfRow(values.typed_data() + row * size, size, count,
             highest->typed_data() + row * count, places->typed_data() + row * count);
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(efdet_jax_top, Top,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Ret<Floats>()
                                  .Ret<ffi::Buffer<ffi::S32>>());
