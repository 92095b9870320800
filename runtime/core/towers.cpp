// Pictures and sounds become soft rows: fills the arrays that towers read
// beside their input, runs their segments, checks what came out.
#include "runtime/core/engine.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cmath>

namespace gm {
namespace mf = gemmac::manifest;

const mf::Medium *medium_of(const File &file, const char *kind) {
  if (file.manifest->media())
    for (const mf::Medium *m : *file.manifest->media())
      if (m->kind() && m->kind()->str() == kind)
        return m;
  return nullptr;
}

TowerSizes tower_sizes(const File &file, const Plan &plan) {
  TowerSizes sizes;
  // Whole pages of keys, which attention to all patches is computed in.
  auto whole = [](int64_t rows) {
    return (rows + GM_PAGE_KEYS - 1) / GM_PAGE_KEYS * GM_PAGE_KEYS;
  };
  if (const mf::Medium *m = medium_of(file, "image"); m && plan.image_rows) {
    sizes.rows[IMAGE] = whole(plan.image_rows);
    sizes.columns[m->tower() ? PATCHES : IMAGE] = m->columns();
    if (m->tower()) {
      sizes.merged = int64_t(m->pool()) * m->pool();
      sizes.rows[PATCHES] = whole(plan.image_rows * sizes.merged);
      sizes.columns[IMAGE] = m->width();
      sizes.pairs = 2 * int64_t(m->pairs());
    }
  }
  if (const mf::Medium *m = medium_of(file, "audio"); m && plan.sound_rows) {
    sizes.rows[AUDIO] = whole(plan.sound_rows);
    sizes.columns[AUDIO] = m->tower() ? 4 * m->columns() : m->columns();
  }
  return sizes;
}

TowerInput picture_input(Engine &e) {
  const TowerSizes &t = e.towers;
  const int first = t.rows[PATCHES] ? PATCHES : IMAGE;
  void *const *io = e.tower[first].ctx.io;
  return {.values = static_cast<float *>(io[GM_IO_pixels]),
          .about = static_cast<int32_t *>(io[GM_IO_position]),
          .columns = t.columns[first],
          .stride = t.stride(first),
          .most = e.plan.image_rows * t.merged,
          .merged = t.merged};
}

TowerInput sound_input(Engine &e) {
  void *const *io = e.tower[AUDIO].ctx.io;
  return {.values = static_cast<float *>(io[GM_IO_features]),
          .about = static_cast<int32_t *>(io[GM_IO_frames]),
          .columns = e.towers.columns[AUDIO],
          .stride = e.towers.stride(AUDIO),
          .most = e.plan.sound_rows};
}

const float *soft_rows(const Engine &e) { return e.soft; }

Status set_soft_rows(Engine &e, const float *rows, int64_t count) {
  if (count > e.plan.soft_rows)
    return failure(RUN_ERROR, "the plan has room for %lld soft rows, got %lld",
                   (long long)e.plan.soft_rows, (long long)count);
  return e.backend->store(reinterpret_cast<uint8_t *>(e.soft),
                          reinterpret_cast<const uint8_t *>(rows),
                          uint64_t(count) * uint64_t(e.hidden_stride) *
                              sizeof(float));
}

namespace {

Status check_rows(const Engine &e, const char *what, const TowerInput &input,
                  int64_t rows, int64_t to) {
  if (rows < 1 || rows > input.most || rows % input.merged)
    return failure(RUN_ERROR, "a %s has 1 to %lld rows, got %lld", what,
                   (long long)input.most, (long long)rows);
  if (to < 0 || to > e.plan.soft_rows - rows / input.merged)
    return failure(RUN_ERROR,
                   "the plan has room for %lld soft rows, got %lld more than "
                   "that",
                   (long long)e.plan.soft_rows,
                   (long long)(to + rows / input.merged - e.plan.soft_rows));
  return {};
}

// Positions of a picture's rows, which choose rows of the model's table.
Status check_positions(const Engine &e, const int32_t *position, int64_t rows) {
  const int32_t most = medium_of(*e.file, "image")->positions();
  for (int64_t i = 0; i < 2 * rows; ++i)
    if (position[i] < 0 || position[i] >= most)
      return failure(RUN_ERROR,
                     "a picture has positions 0 to %d on each side, got %d",
                     most - 1, position[i]);
  return {};
}

Status check_finite(const Engine &e, const char *what, int64_t rows,
                    int64_t to) {
  float sum = 0; // stays 0 but for values that are not finite
  for (int64_t r = to; r < to + rows; ++r)
    for (int64_t i = 0, n = e.file->manifest->model()->hidden(); i < n; ++i)
      sum += e.soft[r * e.hidden_stride + i] * 0;
  if (sum == 0)
    return {};
  return failure(RUN_ERROR,
                 "a soft row of the %s is not finite: a weight or an "
                 "intermediate result is NaN or infinite",
                 what);
}

// Angles, cosines and sines in double, rounded once.
void fill_patch_rope(Engine &e, int64_t rows) {
  gm_ctx &c = e.tower[PATCHES].ctx;
  const auto *position = static_cast<const int32_t *>(c.io[GM_IO_position]);
  auto *rope = static_cast<float *>(c.io[GM_IO_rope_patch]);
  const int64_t half = e.towers.pairs / 2;
  const double theta = medium_of(*e.file, "image")->theta();
  for (int64_t i = 0; i < half; ++i)
    e.patch_frequency[i] = std::pow(theta, -double(i) / double(half));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < 2 * half; ++i) {
      const double angle =
          position[2 * r + i / half] * e.patch_frequency[i % half];
      *rope++ = float(std::cos(angle));
      *rope++ = float(std::sin(angle));
    }
}

void fill_tiles(gm_ctx &c) {
  auto *tile = static_cast<gm_tile *>(c.io[GM_IO_tile]);
  c.tiles = 0;
  for (int32_t r = 0; r < c.rows; r += GM_TILE_ROWS)
    tile[c.tiles++] = {r, std::min<int32_t>(GM_TILE_ROWS, c.rows - r), 0, r};
}

// The calls, which make soft rows [to, to + rows).
Status run(Engine &e, const char *what, const Call *calls, int count,
           int64_t rows, int64_t to) {
  bool ended;
  if (Status s = e.backend->run(calls, count, e.options.ends, ended); !s.ok())
    return s;
  if (ended)
    return failure(RUN_ERROR, "interrupted while a %s was encoded", what);
  return check_finite(e, what, rows, to);
}

} // namespace

Status encode_picture(Engine &e, int64_t rows, int64_t to) {
  const TowerInput input = picture_input(e);
  if (Status s = check_rows(e, "picture", input, rows, to); !s.ok())
    return s;
  if (Status s = check_positions(e, input.about, rows); !s.ok())
    return s;
  Call calls[2];
  int count = 0;
  if (e.towers.rows[PATCHES]) {
    gm_ctx &patches = e.tower[PATCHES].ctx;
    patches.rows = int32_t(rows);
    fill_patch_rope(e, rows);
    fill_tiles(patches);
    calls[count++] = {e.entry[SEGMENT_patches]->many, &patches};
  }
  gm_ctx &image = e.tower[IMAGE].ctx;
  image.rows = int32_t(rows / input.merged);
  image.io[GM_IO_soft] = e.soft + to * e.hidden_stride;
  calls[count++] = {e.entry[SEGMENT_image]->many, &image};
  return run(e, "picture", calls, count, image.rows, to);
}

Status encode_sound(Engine &e, int64_t rows, int64_t to) {
  const TowerInput input = sound_input(e);
  if (Status s = check_rows(e, "sound", input, rows, to); !s.ok())
    return s;
  gm_ctx &audio = e.tower[AUDIO].ctx;
  audio.rows = int32_t(rows);
  audio.io[GM_IO_soft] = e.soft + to * e.hidden_stride;
  const Call call = {e.entry[SEGMENT_audio]->many, &audio};
  return run(e, "sound", &call, 1, rows, to);
}

} // namespace gm
