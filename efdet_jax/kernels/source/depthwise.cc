// Depthwise convolution of images [b h w c] with a k x k kernel for each channel, and its
// gradients. Cells outside of the image count as zeros.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "activations.h"
#include "images.h"
#include "panels.h"
#include "parallel.h"
#include "vectors.h"

namespace {

// Rows of output that a thread takes at a time. For the gradient of the kernel it is
// also what is summed on its own, so that it must not depend on the threads.
constexpr int64_t kRows = 4;
// Where a task expands rows, it takes at least as many as so many windows reach over,
// because those at its seams are expanded by its neighbours too.
constexpr int64_t kSeams = 8;

struct Geometry {
  int64_t batch, height, width, channels;  // of the input
  int64_t rows, columns;                   // of the output
  int64_t window, stride, top, left;

  RowBlocks Blocks() const { return {batch, rows, kRows}; }

  // The taps of a window, starting at `from`, that lie within `size` cells.
  std::pair<int64_t, int64_t> Taps(int64_t from, int64_t size) const {
    return {std::max<int64_t>(-from, 0), std::min(window, size - from)};
  }

  // The output columns whose windows lie within the input.
  std::pair<int64_t, int64_t> Whole() const {
    const int64_t first = std::min((left + stride - 1) / stride, columns);
    const int64_t room = width + left - window;
    const int64_t last = room < 0 ? first : std::min(room / stride + 1, columns);
    return {first, std::max(first, last)};
  }
};

// Tasks with as many rows as leave each thread two of them.
RowBlocks BlocksFor(const Geometry& g, int64_t threads) {
  const int64_t of_image = (2 * threads + g.batch - 1) / g.batch;
  return {g.batch, g.rows, (g.rows + of_image - 1) / of_image};
}

// A product to be added up for every channel: inputs times weights.
struct Product {
  const float *inputs, *weights;
};

// Writes activation(bias + sum of products) of every channel.
template <class Activation>
void AddUp(const std::vector<Product>& products, const float* bias, int64_t channels,
           float* output) {
  ForChannels(channels, [&](auto lanes, int64_t c) {
    using L = decltype(lanes);
    auto sum = Load<L>(bias + c);
    for (const Product& product : products) {
      sum += Load<L>(product.inputs + c) * Load<L>(product.weights + c);
    }
    Store(output + c, Activation::template Value<L>(sum));
  });
}

// Four neighbouring outputs at a time, so that what they share is read once.
constexpr int kTile = 4;

// `lines` are the rows of input under the window, where there are any.
template <class Activation, int window, int stride>
void Tile(const float* const* lines, int64_t from, const float* kernel,
          const float* bias, int64_t channels, float* output) {
  ForChannels(channels, [&](auto lanes, int64_t c) {
    using L = decltype(lanes);
    typename L::Floats sums[kTile];
    for (int t = 0; t < kTile; ++t) sums[t] = Load<L>(bias + c);
    for (int i = 0; i < window; ++i) {
      if (!lines[i]) continue;
      typename L::Floats weights[window];
#pragma GCC unroll 8
      for (int j = 0; j < window; ++j) {
        weights[j] = Load<L>(kernel + (i * window + j) * channels + c);
      }
      const float* cells = lines[i] + from * channels + c;
#pragma GCC unroll 16
      for (int u = 0; u < (kTile - 1) * stride + window; ++u) {
        const auto cell = Load<L>(cells + u * channels);
#pragma GCC unroll 4
        for (int t = 0; t < kTile; ++t) {
          const int j = u - t * stride;
          if (0 <= j && j < window) sums[t] += cell * weights[j];
        }
      }
    }
    for (int t = 0; t < kTile; ++t) {
      Store(output + t * channels + c, Activation::template Value<L>(sums[t]));
    }
  });
}

using TileFunction = void (*)(const float* const*, int64_t, const float*, const float*,
                              int64_t, float*);

// Returns the fast way for the windows and strides that networks have, or none.
template <class Activation>
TileFunction TileFor(int64_t window, int64_t stride) {
  if (window == 3 && stride == 1) return Tile<Activation, 3, 1>;
  if (window == 3 && stride == 2) return Tile<Activation, 3, 2>;
  if (window == 5 && stride == 1) return Tile<Activation, 5, 1>;
  if (window == 5 && stride == 2) return Tile<Activation, 5, 2>;
  return nullptr;
}

template <class Activation>
void ConvolveRow(const Geometry& g, const float* const* lines, const float* kernel,
                 const float* bias, float* output) {
  const TileFunction tile = TileFor<Activation>(g.window, g.stride);
  const auto [first, last] = g.Whole();
  std::vector<Product> products;
  for (int64_t column = 0; column < g.columns;) {
    const int64_t from = column * g.stride - g.left;
    float* here = output + column * g.channels;
    if (tile && column >= first && column + kTile <= last) {
      tile(lines, from, kernel, bias, g.channels, here);
      column += kTile;
      continue;
    }
    products.clear();
    const auto [first_j, last_j] = g.Taps(from, g.width);
    for (int64_t i = 0; i < g.window; ++i) {
      if (!lines[i]) continue;
      for (int64_t j = first_j; j < last_j; ++j) {
        products.push_back({lines[i] + (from + j) * g.channels,
                            kernel + (i * g.window + j) * g.channels});
      }
    }
    AddUp<Activation>(products, bias, g.channels, here);
    ++column;
  }
}

// Writes activation(convolution + bias).
template <class Activation>
void Convolve(ffi::ThreadPool& pool, const Geometry& g, const float* x,
              const float* kernel, const float* bias, float* y) {
  const int64_t row_size = g.width * g.channels;
  const RowBlocks blocks = g.Blocks();
  Parallel(pool, blocks.Count(), [&](int64_t task) {
    std::vector<const float*> lines(g.window);
    blocks.ForRows(task, [&](int64_t image, int64_t row) {
      for (int64_t i = 0; i < g.window; ++i) {
        const int64_t from = row * g.stride - g.top + i;
        const bool is_inside = 0 <= from && from < g.height;
        lines[i] = is_inside ? x + (image * g.height + from) * row_size : nullptr;
      }
      ConvolveRow<Activation>(g, lines.data(), kernel, bias,
                              y + (image * g.rows + row) * g.columns * g.channels);
    });
  });
}

// The convolution of images [b h w in] that a 1 x 1 convolution expands first, both with
// a norm and an activation after them: rows are expanded as the window reaches them, and
// forgotten as it leaves them.
template <class Activation>
void ExpandAndConvolve(ffi::ThreadPool& pool, const Geometry& g, int64_t in,
                       const float* x, const Panels& expand, const float* shift,
                       const float* kernel, const float* bias, float* y) {
  const int64_t row_size = g.width * g.channels;
  const auto expand_row = [&](int64_t image, int64_t row, float* expanded) {
    expand.Multiply(x + (image * g.height + row) * g.width * in, g.width,
                    [&](auto lanes, auto sum, int64_t cell, int64_t c) {
                      using L = decltype(lanes);
                      const auto value = sum + Load<L>(shift + c);
                      Store(expanded + cell * g.channels + c,
                            Activation::template Value<L>(value));
                    });
  };
  const RowBlocks blocks = BlocksFor(g, pool.num_threads());
  if (blocks.rows_of_block * g.stride < kSeams * g.window) {
    // Small images: they stay in a cache, and too many rows would be expanded twice.
    const std::unique_ptr<float[]> expanded(new float[g.batch * g.height * row_size]);
    Parallel(pool, g.batch * g.height, [&](int64_t row) {
      expand_row(0, row, &expanded[row * row_size]);
    });
    return Convolve<Activation>(pool, g, expanded.get(), kernel, bias, y);
  }
  Parallel(pool, blocks.Count(), [&](int64_t task) {
    const std::unique_ptr<float[]> expanded(new float[g.window * row_size]);
    std::vector<const float*> lines(g.window);
    int64_t next = 0;  // the first row that is not expanded
    blocks.ForRows(task, [&](int64_t image, int64_t row) {
      const int64_t from = row * g.stride - g.top;
      for (next = std::max(next, from); next < std::min(from + g.window, g.height); ++next) {
        expand_row(image, next, &expanded[next % g.window * row_size]);
      }
      for (int64_t line = from; line < from + g.window; ++line) {
        const bool is_inside = 0 <= line && line < g.height;
        lines[line - from] = is_inside ? &expanded[line % g.window * row_size] : nullptr;
      }
      ConvolveRow<Activation>(g, lines.data(), kernel, bias,
                              y + (image * g.rows + row) * g.columns * g.channels);
    });
  });
}

// The gradient of the input: every cell gathers from the outputs that saw it.
void InputGradient(ffi::ThreadPool& pool, const Geometry& g, const float* kernel,
                   const float* dy, float* dx) {
  const std::vector<float> no_bias(g.channels, 0.0f);
  if (g.stride == 1) {
    // A convolution of the gradient with the kernel turned around.
    const int64_t taps = g.window * g.window;
    std::vector<float> turned(taps * g.channels);
    for (int64_t tap = 0; tap < taps; ++tap) {
      std::copy_n(kernel + (taps - 1 - tap) * g.channels, g.channels,
                  &turned[tap * g.channels]);
    }
    const Geometry back{g.batch,  g.rows,  g.columns, g.channels, g.height,
                        g.width,  g.window, 1,         g.window - 1 - g.top,
                        g.window - 1 - g.left};
    return Convolve<None>(pool, back, dy, turned.data(), no_bias.data(), dx);
  }
  const RowBlocks blocks{g.batch, g.height, kRows};
  Parallel(pool, blocks.Count(), [&](int64_t task) {
    std::vector<Product> products;
    blocks.ForRows(task, [&](int64_t image, int64_t h) {
      for (int64_t w = 0; w < g.width; ++w) {
        products.clear();
        for (int64_t i = (h + g.top) % g.stride; i < g.window; i += g.stride) {
          const int64_t row = (h + g.top - i) / g.stride;
          if (h + g.top < i || row >= g.rows) continue;
          for (int64_t j = (w + g.left) % g.stride; j < g.window; j += g.stride) {
            const int64_t column = (w + g.left - j) / g.stride;
            if (w + g.left < j || column >= g.columns) continue;
            products.push_back(
                {dy + ((image * g.rows + row) * g.columns + column) * g.channels,
                 kernel + (i * g.window + j) * g.channels});
          }
        }
        AddUp<None>(products, no_bias.data(), g.channels,
              dx + ((image * g.height + h) * g.width + w) * g.channels);
      }
    });
  });
}

// Adds what one output row says of one row of the kernel.
template <int window>
void AddRow(const Geometry& g, const float* inputs, const float* dy, float* sums) {
  const auto [first, last] = g.Whole();
  ForChannels(g.channels, [&, first = first, last = last](auto lanes, int64_t c) {
    using L = decltype(lanes);
    typename L::Floats taps[window];
    for (int j = 0; j < window; ++j) taps[j] = Load<L>(sums + j * g.channels + c);
    for (int64_t column = 0; column < g.columns; ++column) {
      const auto gradient = Load<L>(dy + column * g.channels + c);
      const int64_t from = column * g.stride - g.left;
      const float* cells = inputs + from * g.channels + c;
      if (first <= column && column < last) {
#pragma GCC unroll 8
        for (int j = 0; j < window; ++j) {
          taps[j] += gradient * Load<L>(cells + j * g.channels);
        }
        continue;
      }
      for (int j = 0; j < window; ++j) {
        if (from + j < 0 || from + j >= g.width) continue;
        taps[j] += gradient * Load<L>(cells + j * g.channels);
      }
    }
    for (int j = 0; j < window; ++j) Store(sums + j * g.channels + c, taps[j]);
  });
}

using RowFunction = void (*)(const Geometry&, const float*, const float*, float*);

RowFunction RowFor(int64_t window) {
  switch (window) {
    case 1:
      return AddRow<1>;
    case 2:
      return AddRow<2>;
    case 3:
      return AddRow<3>;
    case 4:
      return AddRow<4>;
    case 5:
      return AddRow<5>;
    case 7:
      return AddRow<7>;
    default:
      return nullptr;
  }
}

void KernelGradient(ffi::ThreadPool& pool, const Geometry& g, RowFunction add_row,
                    const float* x, const float* dy, float* dk) {
  const int64_t size = g.window * g.window * g.channels;
  const RowBlocks blocks = g.Blocks();
  std::vector<float> partial(blocks.Count() * size, 0.0f);
  Parallel(pool, blocks.Count(), [&](int64_t task) {
    blocks.ForRows(task, [&](int64_t image, int64_t row) {
      const int64_t from_row = row * g.stride - g.top;
      const auto [first, last] = g.Taps(from_row, g.height);
      for (int64_t i = first; i < last; ++i) {
        add_row(g, x + (image * g.height + from_row + i) * g.width * g.channels,
                dy + (image * g.rows + row) * g.columns * g.channels,
                &partial[task * size + i * g.window * g.channels]);
      }
    });
  });
  SumParts(pool, partial, size, dk);
}

Geometry GeometryOf(const Floats& image, const Floats& kernel,
                    const Floats& output, int32_t stride, int32_t top,
                    int32_t left) {
  const auto in = image.dimensions(), out = output.dimensions();
  return {in[0],  in[1], in[2], kernel.dimensions()[2], out[1], out[2],
          kernel.dimensions()[0], stride, top, left};
}

ffi::Error Depthwise(ffi::ThreadPool pool, Floats image, Floats kernel, Floats bias,
                     Result output, int32_t stride, int32_t top, int32_t left,
                     int32_t activation) {
  const Geometry g = GeometryOf(image, kernel, *output, stride, top, left);
  WithActivation(activation, [&](auto act) {
    Convolve<decltype(act)>(pool, g, image.typed_data(), kernel.typed_data(),
                            bias.typed_data(), output->typed_data());
  });
  return ffi::Error::Success();
}

ffi::Error DepthwiseExpanded(ffi::ThreadPool pool, Floats image, Floats expand,
                             Floats factor, Floats shift, Floats kernel, Floats bias,
                             Result output, int32_t stride, int32_t top, int32_t left,
                             int32_t activation) {
  const Geometry g = GeometryOf(image, kernel, *output, stride, top, left);
  const int64_t in = image.dimensions()[3];
  const Panels panels(in, g.channels, nullptr, expand.typed_data(), factor.typed_data());
  WithActivation(activation, [&](auto act) {
    ExpandAndConvolve<decltype(act)>(pool, g, in, image.typed_data(), panels,
                                     shift.typed_data(), kernel.typed_data(),
                                     bias.typed_data(), output->typed_data());
  });
  return ffi::Error::Success();
}

ffi::Error DepthwiseGradients(ffi::ThreadPool pool, Floats image,
                              Floats kernel,
                              Floats gradient,
                              Result image_gradient,
                              Result kernel_gradient,
                              int32_t stride, int32_t top, int32_t left) {
  const Geometry g = GeometryOf(image, kernel, gradient, stride, top, left);
  const RowFunction add_row = RowFor(g.window);
  if (!add_row) return ffi::Error::InvalidArgument("no kernel of this size");
  InputGradient(pool, g, kernel.typed_data(), gradient.typed_data(),
                image_gradient->typed_data());
  KernelGradient(pool, g, add_row, image.typed_data(), gradient.typed_data(),
                 kernel_gradient->typed_data());
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(efdet_jax_depthwise, Depthwise,
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

XLA_FFI_DEFINE_HANDLER_SYMBOL(efdet_jax_depthwise_expanded, DepthwiseExpanded,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Ret<Floats>()
                                  .Attr<int32_t>("stride")
                                  .Attr<int32_t>("top")
                                  .Attr<int32_t>("left")
                                  .Attr<int32_t>("activation"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(efdet_jax_depthwise_gradients, DepthwiseGradients,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Ret<Floats>()
                                  .Ret<Floats>()
                                  .Attr<int32_t>("stride")
                                  .Attr<int32_t>("top")
                                  .Attr<int32_t>("left"));
