// Greedy suppression as torchvision's CPU kernel does it, for `effdet_torch.py` where
// that kernel does not load.
#include <algorithm>
#include <cstdint>
#include <vector>

// Writes the rows of the boxes [x0, y0, x1, y1] that are kept, in the given order (best
// score first), to `kept`; returns how many they are.
extern "C" int64_t nms(const float* boxes, const int64_t* order, int64_t count,
                       double threshold, int64_t* kept) {
  std::vector<float> areas(count);
  for (int64_t row = 0; row < count; ++row) {
    const float* box = boxes + 4 * row;
    areas[row] = (box[2] - box[0]) * (box[3] - box[1]);
  }
  std::vector<uint8_t> suppressed(count);
  int64_t num_kept = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = order[i];
    if (suppressed[row]) continue;
    kept[num_kept++] = row;
    const float* box = boxes + 4 * row;
    for (int64_t j = i + 1; j < count; ++j) {
      const int64_t other = order[j];
      if (suppressed[other]) continue;
      const float* rival = boxes + 4 * other;
      const float width = std::min(box[2], rival[2]) - std::max(box[0], rival[0]);
      const float height = std::min(box[3], rival[3]) - std::max(box[1], rival[1]);
      const float shared = std::max(0.f, width) * std::max(0.f, height);
      if (shared / (areas[row] + areas[other] - shared) > threshold)
        suppressed[other] = 1;
    }
  }
  return num_kept;
}
