// The focal loss of every logit, and its slope, with the exponentials that they share
// taken once.

#include <cstdint>

#include "images.h"
#include "parallel.h"
#include "vectors.h"

namespace {

constexpr int64_t kBlock = 1 << 15;

struct Focal {
  float alpha, gamma, label_smoothing;

  // As losses/classes.py has it, where the names are explained.
  template <class L>
  void Compute(typename L::Floats logit, const bool* is_present, float* loss,
               float* slope) const {
    using F = typename L::Floats;
    const F zero = {};
    const F present = LoadBools<L>(is_present);
    const F sign = 1.0f - 2.0f * present;
    const F weight = (1.0f - alpha) + (2.0f * alpha - 1.0f) * present;
    const F wrong = logit * sign;
    const F size = wrong > zero ? wrong : -wrong;
    const F e = Exp<L>(-size);
    // log(1 + e) = 2 atanh(s), to the last digits of small e too.
    const F s = e / (2.0f + e), q = s * s;
    F series = zero + 2.0f / 15;
    series = series * q + 2.0f / 13;
    series = series * q + 2.0f / 11;
    series = series * q + 2.0f / 9;
    series = series * q + 2.0f / 7;
    series = series * q + 2.0f / 5;
    series = series * q + 2.0f / 3;
    const F tail = s * (series * q + 2.0f);
    const F opposite = (size - wrong) * 0.5f + tail;
    const F surprise =
        (size + wrong) * 0.5f + tail - wrong * (label_smoothing * 0.5f);
    const F scale = weight * Exp<L>(opposite * -gamma);
    const F larger = 1.0f / (1.0f + e), smaller = e * larger;
    const F p_wrong = wrong > zero ? larger : smaller;
    const F p_right = wrong > zero ? smaller : larger;
    const F steepness =
        p_right * surprise * gamma + p_wrong - label_smoothing * 0.5f;
    Store(loss, scale * surprise);
    Store(slope, scale * steepness * sign);
  }
};

ffi::Error FocalLoss(ffi::ThreadPool pool, Floats logits,
                     ffi::Buffer<ffi::PRED> is_present, Result loss, Result slope,
                     float alpha, float gamma, float label_smoothing) {
  const Focal focal{alpha, gamma, label_smoothing};
  const int64_t count = logits.element_count();
  Parallel(pool, (count + kBlock - 1) / kBlock, [&](int64_t block) {
    const int64_t first = block * kBlock, size = std::min(kBlock, count - first);
    ForChannels(size, [&](auto lanes, int64_t i) {
      using L = decltype(lanes);
      focal.Compute<L>(Load<L>(logits.typed_data() + first + i),
                       is_present.typed_data() + first + i,
                       loss->typed_data() + first + i,
                       slope->typed_data() + first + i);
    });
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(efdet_jax_focal, FocalLoss,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Arg<ffi::Buffer<ffi::PRED>>()
                                  .Ret<Floats>()
                                  .Ret<Floats>()
                                  .Attr<float>("alpha")
                                  .Attr<float>("gamma")
                                  .Attr<float>("label_smoothing"));
