// 1 x 1 convolution of images [b h w c] with what surrounds it in inference: a gate for the
// channels of every image before it, a norm and another image added to it after it.

#include <cstdint>
#include <vector>

#include "images.h"
#include "panels.h"
#include "parallel.h"
#include "vectors.h"

namespace {

// Cells that a thread takes at a time: they stay in its cache for all channels.
constexpr int64_t kCellsOfTask = 384;

const float* DataOrNone(const Floats& array) {
  return array.element_count() ? array.typed_data() : nullptr;
}

ffi::Error Pointwise(ffi::ThreadPool pool, Floats image, Floats gate, Floats kernel,
                     Floats factor, Floats shift, Floats addend, Result output) {
  const auto d = image.dimensions();
  const int64_t images = d[0], cells = d[1] * d[2], in = d[3];
  const int64_t out = kernel.dimensions()[1];
  const float *gates = DataOrNone(gate), *addends = DataOrNone(addend);
  std::vector<Panels> panels(gates ? images : 1, Panels(0, 0, nullptr, nullptr, nullptr));
  Parallel(pool, panels.size(), [&](int64_t i) {
    panels[i] = Panels(in, out, gates ? gates + i * in : nullptr, kernel.typed_data(),
                       factor.typed_data());
  });
  const int64_t tasks = (cells + kCellsOfTask - 1) / kCellsOfTask;
  Parallel(pool, images * tasks, [&](int64_t task) {
    const int64_t i = task / tasks, first = task % tasks * kCellsOfTask;
    const int64_t start = i * cells + first, at = start * out;
    panels[gates ? i : 0].Multiply(
        image.typed_data() + start * in, std::min(kCellsOfTask, cells - first),
        [&](auto lanes, auto sum, int64_t cell, int64_t channel) {
          using L = decltype(lanes);
          const int64_t here = at + cell * out + channel;
          auto value = sum + Load<L>(shift.typed_data() + channel);
          if (addends) value += Load<L>(addends + here);
          Store(output->typed_data() + here, value);
        });
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(efdet_jax_pointwise, Pointwise,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Ret<Floats>());
