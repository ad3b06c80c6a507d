// Batch normalisation with the activation after it: every pass over an image in one loop.
//
// An image is `rows` cells of `channels` numbers. Sums are taken over blocks of rows in
// float, over blocks in double, always in the same order.

#include <cmath>
#include <cstdint>
#include <vector>

#include "activations.h"
#include "images.h"
#include "parallel.h"
#include "vectors.h"

namespace {

// Numbers that a block has: both images of it stay in a core's own cache.
constexpr int64_t kBlock = 1 << 15;

struct Shape {
  int64_t rows, channels, rows_of_block, blocks;

  explicit Shape(const Floats& image) {
    channels = image.dimensions().back();
    rows = image.element_count() / std::max<int64_t>(channels, 1);
    rows_of_block = std::max<int64_t>(kBlock / std::max<int64_t>(channels, 1), 1);
    blocks = (rows + rows_of_block - 1) / rows_of_block;
  }
  int64_t First(int64_t block) const { return block * rows_of_block; }
  int64_t Last(int64_t block) const { return std::min(First(block + 1), rows); }
};

// Returns two sums for every channel, of what add(block, sums) adds up in each block.
template <class Add>
std::vector<double> Sums(ffi::ThreadPool& pool, const Shape& shape, const Add& add) {
  const int64_t width = 2 * shape.channels;
  std::vector<float> partial(shape.blocks * width, 0.0f);
  Parallel(pool, shape.blocks,
           [&](int64_t block) { add(block, &partial[block * width]); });
  std::vector<double> total(width, 0.0);
  for (int64_t block = 0; block < shape.blocks; ++block) {
    for (int64_t i = 0; i < width; ++i) total[i] += partial[block * width + i];
  }
  return total;
}

ffi::Error Normalise(ffi::ThreadPool pool, Floats image,
                     Floats scale, Floats bias,
                     Result output,
                     Result mean, Result var,
                     float epsilon, int32_t activation) {
  const Shape shape(image);
  const int64_t channels = shape.channels;
  const float* x = image.typed_data();
  const auto sums = Sums(pool, shape, [&](int64_t block, float* sums) {
    for (int64_t row = shape.First(block); row < shape.Last(block); ++row) {
      const float* here = x + row * channels;
      ForChannels(channels, [&](auto lanes, int64_t c) {
        using L = decltype(lanes);
        const auto value = Load<L>(here + c);
        Store(sums + c, Load<L>(sums + c) + value);
        float* squares = sums + channels + c;
        Store(squares, Load<L>(squares) + value * value);
      });
    }
  });
  std::vector<float> factor(channels);
  float* means = mean->typed_data();
  for (int64_t c = 0; c < channels; ++c) {
    const double average = sums[c] / shape.rows;
    const double spread = sums[channels + c] / shape.rows - average * average;
    means[c] = average;
    var->typed_data()[c] = std::max(spread, 0.0);
    factor[c] = scale.typed_data()[c] / std::sqrt(std::max(spread, 0.0) + epsilon);
  }
  const float* shift = bias.typed_data();
  float* y = output->typed_data();
  WithActivation(activation, [&](auto act) {
    Parallel(pool, shape.blocks, [&](int64_t i) {
      // Last blocks first: they are still in the cache.
      const int64_t block = shape.blocks - 1 - i;
      for (int64_t row = shape.First(block); row < shape.Last(block); ++row) {
        const int64_t at = row * channels;
        ForChannels(channels, [&](auto lanes, int64_t c) {
          using L = decltype(lanes);
          const auto centred = Load<L>(x + at + c) - Load<L>(means + c);
          const auto normal = centred * Load<L>(&factor[c]) + Load<L>(shift + c);
          Store(y + at + c, act.template Value<L>(normal));
        });
      }
    });
  });
  return ffi::Error::Success();
}

ffi::Error NormaliseGradients(
    ffi::ThreadPool pool, Floats image, Floats scale,
    Floats bias, Floats mean, Floats var,
    Floats gradient, Result image_gradient,
    Result scale_gradient, Result bias_gradient,
    float epsilon, int32_t activation) {
  const Shape shape(image);
  const int64_t channels = shape.channels;
  const float *x = image.typed_data(), *g = gradient.typed_data();
  const float *means = mean.typed_data(), *shift = bias.typed_data();
  std::vector<float> inverse(channels), factor(channels);
  for (int64_t c = 0; c < channels; ++c) {
    inverse[c] = 1.0 / std::sqrt(static_cast<double>(var.typed_data()[c]) + epsilon);
    factor[c] = scale.typed_data()[c] * inverse[c];
  }
  WithActivation(activation, [&](auto act) {
    const auto sums = Sums(pool, shape, [&](int64_t block, float* sums) {
      for (int64_t row = shape.First(block); row < shape.Last(block); ++row) {
        const int64_t at = row * channels;
        ForChannels(channels, [&](auto lanes, int64_t c) {
          using L = decltype(lanes);
          const auto centred = Load<L>(x + at + c) - Load<L>(means + c);
          const auto normal = centred * Load<L>(&factor[c]) + Load<L>(shift + c);
          const auto slope = Load<L>(g + at + c) * act.template Slope<L>(normal);
          Store(sums + c, Load<L>(sums + c) + slope);
          float* products = sums + channels + c;
          Store(products, Load<L>(products) + slope * centred);
        });
      }
    });
    // dx = factor * (g - mean(g) - x_hat * mean(g * x_hat))
    std::vector<float> average(channels), tilt(channels);
    for (int64_t c = 0; c < channels; ++c) {
      bias_gradient->typed_data()[c] = sums[c];
      scale_gradient->typed_data()[c] = sums[channels + c] * inverse[c];
      average[c] = sums[c] / shape.rows;
      tilt[c] = sums[channels + c] / shape.rows * inverse[c] * inverse[c];
    }
    float* dx = image_gradient->typed_data();
    Parallel(pool, shape.blocks, [&](int64_t i) {
      const int64_t block = shape.blocks - 1 - i;
      for (int64_t row = shape.First(block); row < shape.Last(block); ++row) {
        const int64_t at = row * channels;
        ForChannels(channels, [&](auto lanes, int64_t c) {
          using L = decltype(lanes);
          const auto centred = Load<L>(x + at + c) - Load<L>(means + c);
          const auto normal = centred * Load<L>(&factor[c]) + Load<L>(shift + c);
          const auto slope = Load<L>(g + at + c) * act.template Slope<L>(normal);
          const auto rest = slope - Load<L>(&average[c]) - centred * Load<L>(&tilt[c]);
          Store(dx + at + c, rest * Load<L>(&factor[c]));
        });
      }
    });
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(efdet_jax_normalise, Normalise,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Ret<Floats>()
                                  .Ret<Floats>()
                                  .Ret<Floats>()
                                  .Attr<float>("epsilon")
                                  .Attr<int32_t>("activation"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(efdet_jax_normalise_gradients, NormaliseGradients,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Ret<Floats>()
                                  .Ret<Floats>()
                                  .Ret<Floats>()
                                  .Attr<float>("epsilon")
                                  .Attr<int32_t>("activation"));
