// What follows a convolution or a norm: values, and slopes for their gradients.
//
// What is not a number stays so: a training that diverged must be seen to.
#pragma once

#include <cstdint>

#include "vectors.h"

struct None {
  template <class L>
  static typename L::Floats Value(typename L::Floats x) {
    return x;
  }
  template <class L>
  static typename L::Floats Slope(typename L::Floats) {
    return typename L::Floats{} + 1.0f;
  }
};

struct Relu {
  template <class L>
  static typename L::Floats Value(typename L::Floats x) {
    return x < 0.0f ? typename L::Floats{} : x;
  }
  template <class L>
  static typename L::Floats Slope(typename L::Floats x) {
    const typename L::Floats zero = {};
    return x > 0.0f ? zero + 1.0f : zero;
  }
};

struct Relu6 {
  template <class L>
  static typename L::Floats Value(typename L::Floats x) {
    const typename L::Floats zero = {}, six = zero + 6.0f;
    x = x < zero ? zero : x;
    return x > six ? six : x;
  }
  template <class L>
  static typename L::Floats Slope(typename L::Floats x) {
    const typename L::Floats zero = {}, one = zero + 1.0f;
    const typename L::Floats below = x < 6.0f ? one : zero;
    return x > 0.0f ? below : zero;
  }
};

struct Silu {
  template <class L>
  static typename L::Floats Value(typename L::Floats x) {
    return x * Sigmoid<L>(x);
  }
  template <class L>
  static typename L::Floats Slope(typename L::Floats x) {
    const typename L::Floats s = Sigmoid<L>(x);
    return s * (1.0f + x * (1.0f - s));
  }
};

// Calls run(activation) with the one of this number in activations.py.
template <class Run>
void WithActivation(int32_t activation, Run run) {
  switch (activation) {
    case 0:
      return run(None{});
    case 1:
      return run(Relu{});
    case 2:
      return run(Relu6{});
    default:
      return run(Silu{});
  }
}
