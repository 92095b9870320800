// What later code relies on of vision and audio that a reader has accepted.
#pragma once

#include "compiler/importer/Config.h"

#include <cstdlib>

namespace gemmac {

inline void checkMedia(const ModelConfig &m) {
  auto require = [](bool good) {
    if (!good)
      std::abort();
  };
  if (const auto &v = m.vision) {
    require(v->patch >= 1 && v->patch <= 64 && v->pool >= 1 && v->pool <= 8);
    require(v->width >= 1 && v->width <= 1 << 16 && v->output >= 1);
    require(v->positions >= 1 && v->budget >= 1 && v->filmBudget >= 1);
    require(v->eps > 0 && v->theta > 0);
    require(!v->tower ||
            (v->layers >= 1 && v->layers <= 1024 && v->heads >= 1));
    require(!v->tower ||
            (v->headDim >= 4 && v->headDim % 4 == 0 && v->ffn >= 1));
  }
  if (const auto &a = m.audio) {
    require(a->output >= 1 && a->output <= 1 << 16 && a->eps > 0);
    require(!a->tower ||
            (a->layers >= 1 && a->layers <= 1024 && a->heads >= 1));
    require(!a->tower || a->width % (2 * a->heads) == 0);
    require(!a->tower || (a->channels[0] >= 1 && a->channels[1] >= 1));
    require(!a->tower || (a->taps >= 1 && a->taps <= 64 && a->window >= 1));
  }
}

} // namespace gemmac
