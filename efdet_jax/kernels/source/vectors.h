// Vectors of floats that any compiler with GCC's vector extension turns into the widest
// instructions of the machine at hand.
#pragma once

#include <cstdint>
#include <cstring>

template <int width>
struct Lanes {
  typedef float Floats __attribute__((vector_size(4 * width)));
  typedef int8_t Bytes __attribute__((vector_size(width)));
  typedef int32_t Ints __attribute__((vector_size(4 * width)));
  static constexpr int kWidth = width;
};

template <class Lanes>
inline typename Lanes::Floats Load(const float* from) {
  typename Lanes::Floats values;
  std::memcpy(&values, from, sizeof(values));
  return values;
}

template <class Floats>
inline void Store(float* to, Floats values) {
  std::memcpy(to, &values, sizeof(values));
}

// 1 for what is true, 0 for what is not.
template <class Lanes>
inline typename Lanes::Floats LoadBools(const bool* from) {
  typename Lanes::Bytes bytes;
  std::memcpy(&bytes, from, sizeof(bytes));
  return __builtin_convertvector(bytes, typename Lanes::Floats);
}

// Calls visit(lanes, first channel) for all channels, as many at a time as are left.
template <class Visit>
inline void ForChannels(int64_t channels, Visit visit) {
  int64_t c = 0;
  for (; c + 16 <= channels; c += 16) visit(Lanes<16>{}, c);
  for (; c + 8 <= channels; c += 8) visit(Lanes<8>{}, c);
  for (; c < channels; ++c) visit(Lanes<1>{}, c);
}

// exp(x) to two units in the last place; 0 below -87, and finite above 88.
template <class Lanes>
inline typename Lanes::Floats Exp(typename Lanes::Floats x) {
  using Floats = typename Lanes::Floats;
  using Ints = typename Lanes::Ints;
  const Floats zero = {};
  const Floats low = zero - 87.33f, high = zero + 88.0f;
  x = x < low ? low : x;
  x = x > high ? high : x;
  // x = n log 2 + r; adding and taking away 1.5 * 2^23 rounds to the nearest integer.
  const float magic = 12582912.0f;
  const Floats shifted = x * 1.44269504f + magic;
  const Floats n = shifted - magic;
  const Floats r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  // Cephes' expf.
  Floats p = zero + 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Ints bits = (__builtin_convertvector(n, Ints) + 127) << 23;
  Floats power;  // 2^n
  std::memcpy(&power, &bits, sizeof(power));
  return p * power;
}

template <class Lanes>
inline typename Lanes::Floats Sigmoid(typename Lanes::Floats x) {
  return 1.0f / (1.0f + Exp<Lanes>(-x));
}
