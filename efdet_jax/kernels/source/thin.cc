// Convolution of images of few channels, as a network's first one is, and the gradient of
// its kernel. Cells outside of the image count as zeros.
//
// Under a row of the kernel lie window * channels neighbouring numbers of the image.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "activations.h"
#include "images.h"
#include "parallel.h"
#include "vectors.h"

namespace {

// Output rows that a thread takes at a time; sums of the kernel's gradient end there.
constexpr int64_t kRows = 4;
// Neighbouring outputs that are computed together.
constexpr int kTile = 8;
// Numbers under a row of the kernel whose sums are kept at hand together.
constexpr int kTaps = 9;

struct Geometry {
  int64_t batch, height, width, channels;  // of the input
  int64_t rows, columns, filters;          // of the output
  int64_t window, stride, top, left;

  Geometry(const Floats& image, const Floats& kernel, const Floats& output,
           int32_t stride, int32_t top, int32_t left)
      : batch(image.dimensions()[0]),
        height(image.dimensions()[1]),
        width(image.dimensions()[2]),
        channels(image.dimensions()[3]),
        rows(output.dimensions()[1]),
        columns(output.dimensions()[2]),
        filters(output.dimensions()[3]),
        window(kernel.dimensions()[0]),
        stride(stride),
        top(top),
        left(left) {}

  RowBlocks Blocks() const { return {batch, rows, kRows}; }
  int64_t Span() const { return window * channels; }

  // Copies the rows that an output row sees, framed by zeros.
  void Frame(const float* images, int64_t image, int64_t row, float* frame) const {
    const int64_t size = FrameSize();
    std::fill_n(frame, window * size, 0.0f);
    for (int64_t i = 0; i < window; ++i) {
      const int64_t from = row * stride - top + i;
      if (from < 0 || from >= height) continue;
      const float* line = images + (image * height + from) * width * channels;
      const int64_t count = std::min(width * channels, size - left * channels);
      std::copy_n(line, count, frame + i * size + left * channels);
    }
  }
  // Of one row: up to where the last window ends.
  int64_t FrameSize() const { return ((columns - 1) * stride + window) * channels; }
};

template <class L, class Activation, int tile>
void Convolve(const Geometry& g, const float* frame, const float* kernel,
              typename L::Floats bias, float* output) {
  typename L::Floats sums[tile];
  for (int t = 0; t < tile; ++t) sums[t] = bias;
  for (int64_t i = 0; i < g.window; ++i) {
    const float* numbers = frame + i * g.FrameSize();
    for (int64_t n = 0; n < g.Span(); ++n) {
      const auto weights = Load<L>(kernel + (i * g.Span() + n) * g.filters);
#pragma GCC unroll 8
      for (int t = 0; t < tile; ++t) {
        sums[t] += numbers[t * g.stride * g.channels + n] * weights;
      }
    }
  }
  for (int t = 0; t < tile; ++t) {
    Store(output + t * g.filters, Activation::template Value<L>(sums[t]));
  }
}

ffi::Error Thin(ffi::ThreadPool pool, Floats image, Floats kernel, Floats bias,
                Result output, int32_t stride, int32_t top, int32_t left,
                int32_t activation) {
  const Geometry g(image, kernel, *output, stride, top, left);
  const float *x = image.typed_data(), *weights = kernel.typed_data();
  const int64_t step = g.stride * g.channels;
  const RowBlocks blocks = g.Blocks();
  WithActivation(activation, [&](auto act) {
    using Act = decltype(act);
    Parallel(pool, blocks.Count(), [&](int64_t task) {
      std::vector<float> frame(g.window * g.FrameSize());
      blocks.ForRows(task, [&](int64_t i, int64_t row) {
        g.Frame(x, i, row, frame.data());
        float* y = output->typed_data() + (i * g.rows + row) * g.columns * g.filters;
        ForChannels(g.filters, [&](auto lanes, int64_t f) {
          using L = decltype(lanes);
          const auto shift = Load<L>(bias.typed_data() + f);
          int64_t c = 0;
          for (; c + kTile <= g.columns; c += kTile) {
            Convolve<L, Act, kTile>(g, &frame[c * step], weights + f, shift,
                                    y + c * g.filters + f);
          }
          for (; c < g.columns; ++c) {
            Convolve<L, Act, 1>(g, &frame[c * step], weights + f, shift,
                                y + c * g.filters + f);
          }
        });
      });
    });
  });
  return ffi::Error::Success();
}

// Adds what an output row says of `taps` numbers of the kernel.
template <class L, int taps>
void AddRow(const Geometry& g, const float* numbers, const float* gradient,
            float* sums) {
  typename L::Floats totals[taps];
  for (int n = 0; n < taps; ++n) totals[n] = Load<L>(sums + n * g.filters);
  for (int64_t c = 0; c < g.columns; ++c) {
    const auto slope = Load<L>(gradient + c * g.filters);
    const float* here = numbers + c * g.stride * g.channels;
#pragma GCC unroll 9
    for (int n = 0; n < taps; ++n) totals[n] += here[n] * slope;
  }
  for (int n = 0; n < taps; ++n) Store(sums + n * g.filters, totals[n]);
}

ffi::Error ThinGradient(ffi::ThreadPool pool, Floats image, Floats gradient,
                        Result kernel, int32_t stride, int32_t top, int32_t left) {
  const Geometry g(image, *kernel, gradient, stride, top, left);
  const int64_t size = kernel->element_count();
  const RowBlocks blocks = g.Blocks();
  std::vector<float> partial(blocks.Count() * size, 0.0f);
  Parallel(pool, blocks.Count(), [&](int64_t task) {
    std::vector<float> frame(g.window * g.FrameSize());
    blocks.ForRows(task, [&](int64_t i, int64_t row) {
      g.Frame(image.typed_data(), i, row, frame.data());
      const float* dy =
          gradient.typed_data() + (i * g.rows + row) * g.columns * g.filters;
      ForChannels(g.filters, [&](auto lanes, int64_t f) {
        using L = decltype(lanes);
        for (int64_t line = 0; line < g.window; ++line) {
          const float* numbers = &frame[line * g.FrameSize()];
          float* sums = &partial[task * size + line * g.Span() * g.filters + f];
          int64_t n = 0;
          for (; n + kTaps <= g.Span(); n += kTaps) {
            AddRow<L, kTaps>(g, numbers + n, dy + f, sums + n * g.filters);
          }
          for (; n < g.Span(); ++n) {
            AddRow<L, 1>(g, numbers + n, dy + f, sums + n * g.filters);
          }
        }
      });
    });
  });
  SumParts(pool, partial, size, kernel->typed_data());
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(efdet_jax_thin, Thin,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Ret<Floats>()
                                  .Attr<int32_t>("stride")
                                  .Attr<int32_t>("top")
                                  .Attr<int32_t>("left")
                                  .Attr<int32_t>("activation"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(efdet_jax_thin_gradient, ThinGradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Ret<Floats>()
                                  .Attr<int32_t>("stride")
                                  .Attr<int32_t>("top")
                                  .Attr<int32_t>("left"));
