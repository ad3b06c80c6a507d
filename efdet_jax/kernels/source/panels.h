// Products of cells [cells in] with a kernel [in out], a tile of both at a time in registers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "vectors.h"

#ifdef __AVX512F__
using Wide = Lanes<16>;
constexpr int kCells = 8;
#else
using Wide = Lanes<8>;
constexpr int kCells = 4;
#endif
constexpr int kWide = Wide::kWidth;
// A tile is the sums of so many cells and so many vectors of channels: with what is added
// to them they fill the registers.
constexpr int kVectors = 3;

// A kernel, laid out in the order in which tiles read it.
class Panels {
 public:
  // Lays out gate * kernel * factor; without a gate, kernel * factor.
  Panels(int64_t in, int64_t out, const float* gate, const float* kernel,
         const float* factor)
      : in_(in), out_(out), weights_(in * ((out + kWide - 1) / kWide * kWide)) {
    float* next = weights_.data();
    for (int64_t c = 0; c < out; c += kVectors * kWide) {
      const int64_t channels = std::min<int64_t>(kVectors * kWide, out - c);
      for (int64_t k = 0; k < in; ++k, next += Vectors(channels) * kWide) {
        const float scale = gate ? gate[k] : 1.0f;
        for (int64_t i = 0; i < channels; ++i) {
          next[i] = scale * kernel[k * out + c + i] * factor[c + i];
        }
      }
    }
  }

  // Calls finish(lanes, products, cell, channel) for all cells and channels, some
  // channels at a time.
  template <class Finish>
  void Multiply(const float* x, int64_t cells, Finish finish) const {
    const float* panel = weights_.data();
    for (int64_t c = 0; c < out_; c += kVectors * kWide) {
      const int64_t channels = std::min<int64_t>(kVectors * kWide, out_ - c);
      const auto run = [&](auto vectors) {
        constexpr int kCount = decltype(vectors)::value;
        const auto last = Tiles<kCells, kCount>(x, panel, 0, cells, c, channels, finish);
        Tiles<1, kCount>(x, panel, last, cells, c, channels, finish);
      };
      switch (Vectors(channels)) {
        case 1:
          run(std::integral_constant<int, 1>{});
          break;
        case 2:
          run(std::integral_constant<int, 2>{});
          break;
        default:
          run(std::integral_constant<int, kVectors>{});
      }
      panel += in_ * Vectors(channels) * kWide;
    }
  }

 private:
  static int64_t Vectors(int64_t channels) { return (channels + kWide - 1) / kWide; }

  // All tiles of a panel that have so many cells; returns the first cell that is left.
  template <int cells, int vectors, class Finish>
  int64_t Tiles(const float* x, const float* panel, int64_t first, int64_t end,
                int64_t channel, int64_t channels, Finish finish) const {
    for (; first + cells <= end; first += cells) {
      float found[cells][vectors * kWide];
      Sum<cells, vectors>(x + first * in_, panel, found);
      for (int i = 0; i < cells; ++i) {
        ForChannels(channels, [&](auto lanes, int64_t c) {
          using L = decltype(lanes);
          finish(lanes, Load<L>(found[i] + c), first + i, channel + c);
        });
      }
    }
    return first;
  }

  template <int cells, int vectors>
  void Sum(const float* x, const float* panel, float (*found)[vectors * kWide]) const {
    typename Wide::Floats sums[cells][vectors] = {};
    for (int64_t k = 0; k < in_; ++k) {
      typename Wide::Floats weights[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        weights[v] = Load<Wide>(panel + (k * vectors + v) * kWide);
      }
#pragma GCC unroll 8
      for (int i = 0; i < cells; ++i) {
        const float value = x[i * in_ + k];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sums[i][v] += value * weights[v];
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < cells; ++i) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) Store(found[i] + v * kWide, sums[i][v]);
    }
  }

  int64_t in_, out_;
  std::vector<float> weights_;
};
