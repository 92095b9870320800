// What a checkpoint's config.json, generation_config.json and
// processor_config.json say about the decoder and what makes soft rows for it,
// normalised: both spellings of the global layers' shape, defaults filled in,
// every rule of docs/model/text.md#1.2 resolved per layer.
// Knows JSON files; must not know MLIR, tensors or targets.
#pragma once

#include "support/Result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gemmac {

// One rope table (docs/model/text.md#2.2): f_i = theta^(-2i/dim) for i < pairs,
// lanes beyond are not rotated; lane i pairs with lane i + dim/2.
struct RopeConfig {
  double theta = 0;
  int64_t dim = 0;
  int64_t pairs = 0;
};

// One decoder layer.
struct LayerConfig {
  bool global = false;     // full attention; otherwise sliding
  int64_t headDim = 0;     // hd
  int64_t kvHeads = 0;     // Hk
  bool ownsKv = true;      // writes K/V
  int64_t donor = 0;       // layer whose cache is read (itself when ownsKv)
  bool keyIsValue = false; // K = V: no v_proj, V is the raw k projection
  int64_t ffn = 0;         // dense MLP width, double-wide already applied
};

// What turns a picture into soft rows (docs/model/vision.md).
struct VisionConfig {
  // A tower over patches; false: one product per cell, without layers (12B).
  bool tower = true;
  int64_t patch = 16, pool = 3; // pixels of a patch, patches of a cell: sides
  int64_t width = 0;            // D of the tower, of the cell's product
  int64_t output = 0;           // columns of what is projected to text space
  int64_t positions = 0;        // rows of the position table, per axis
  // Most soft rows of a picture and of a film's frame if not said.
  int64_t budget = 280, filmBudget = 70;
  double eps = 1e-6;
  // Of towers.
  int64_t layers = 0, heads = 0, headDim = 0, ffn = 0;
  bool clipped = false;      // linears have bounds of their own
  bool standardized = false; // pooled rows are standardised
  double theta = 100;        // of the rope, per axis

  int64_t cell() const { return patch * pool; } // pixels of a cell's side
};

// What turns a sound into soft rows (docs/model/audio.md).
struct AudioConfig {
  bool tower = true;  // a conformer; false: frames of samples (12B)
  int64_t output = 0; // columns of what is projected to text space
  double eps = 1e-6;
  // Of towers.
  int64_t width = 0, layers = 0, heads = 0;
  int64_t channels[2] = {}; // of the two subsampling convolutions
  int64_t bins = 128;       // of a frame
  int64_t taps = 5;         // of the depthwise convolution
  int64_t window = 12;      // keys that a row sees, itself included
  double cap = 50;          // of scores
  double residual = 0.5;    // weight of a feed-forward branch
  bool clipped = false;
};

// The ids that the configuration gives the tokens around and of soft rows; -1:
// none.
struct MediaTokens {
  int64_t begin = -1, soft = -1, end = -1;
};

// Which media are wanted of a checkpoint.
struct WantedMedia {
  bool vision = true, audio = true;
  // Why one is not wanted, as ModelConfig::noVision and noAudio say it.
  std::string whyNotVision = "--no-vision", whyNotAudio = "--no-audio";
};

struct ModelConfig {
  std::string modelType; // gemma4, gemma4_text, gemma4_unified
  std::string variant;   // E2B, E4B, 12B, 26B-A4B, 31B, or "custom"
  int64_t layers = 0;    // L
  int64_t hidden = 0;    // D
  int64_t heads = 0;     // H
  int64_t vocab = 0;     // V
  int64_t window = 0;    // W
  int64_t maxContext = 0;
  int64_t pleWidth = 0;   // P, 0 = no per-layer embeddings
  int64_t pleVocab = 0;   // rows of the PLE table
  int64_t experts = 0;    // E, 0 = dense
  int64_t topExperts = 0; // experts per token
  int64_t expertFfn = 0;  // width of one expert
  double eps = 1e-6;
  double softcap = 0;       // final logit softcap, 0 = none
  double embedScale = 0;    // sqrt(D) rounded to bf16 (docs/model/text.md#2.2)
  double pleScale = 0;      // sqrt(P) rounded to bf16
  bool tied = true;         // head = embedding; otherwise lm_head.weight
  bool imageBlocks = false; // use_bidirectional_attention == "vision"
  // What the checkpoint can see and hear.
  std::optional<VisionConfig> vision;
  std::optional<AudioConfig> audio;
  // The step takes rows that towers made.
  bool softRows() const { return vision || audio; }
  // Why it cannot, where the checkpoint could; empty: nothing describes it.
  std::string noVision, noAudio;
  MediaTokens imageTokens, audioTokens;
  int64_t filmToken = -1; // the soft one of a film's frames
  // The field that says that the tensors are quantised, with its method.
  std::string quantisation;
  RopeConfig localRope, globalRope;
  std::vector<LayerConfig> layer; // size L

  // Last layer that owns K/V; `tail` starts with its attention.
  int64_t lastOwner() const;
};

// What a program does where its flags say nothing
// (docs/model/tokenizer-chat.md#8).
struct GenerationConfig {
  double temperature = 0; // 0: always the most likely token
  int64_t topK = 50;      // 0: all
  double topP = 1, minP = 0;
  std::vector<int64_t> stop;     // end a text; ascending, each once
  std::vector<int64_t> suppress; // are never generated; likewise
  int64_t limit = 0; // nor are ids from here on, which no token has; 0: none
  // Which file said so, empty: none did.
  std::string samplingFrom, stopFrom;
};

// Reads FOLDER/config.json. `warnings` gets one line per oddity that is not an
// error. Errors: missing or unreadable file, not JSON, deeper than 64,
// duplicate keys, unknown model_type (Unsupported), missing or absurd fields
// (the field, the value and the allowed range are named). What is not wanted is
// not read.
Result<ModelConfig> readModelConfig(const std::string &folder,
                                    std::vector<std::string> &warnings,
                                    const WantedMedia &wanted = {});

// Reads what FOLDER/processor_config.json, or an older form of it, says of
// budgets, where `model` has vision; those of `model` stay where no file says
// one. Errors: not JSON, a budget that transformers does not know.
Status readProcessorConfig(const std::string &folder, ModelConfig &model);

// Reads FOLDER/generation_config.json, or where there is none what config.json
// says of generation, as transformers 5.24 does; config.json's stop ids also
// where the other file has none. Errors: not JSON, values of another type.
// Numbers that mean nothing get a warning.
Result<GenerationConfig>
readGenerationConfig(const std::string &folder, const ModelConfig &model,
                     std::vector<std::string> &warnings);

// The same from text; `name` is how messages call the file. Entry points of the
// fuzz driver.
Result<ModelConfig> parseModelConfig(const std::string &text,
                                     const std::string &name,
                                     std::vector<std::string> &warnings,
                                     const WantedMedia &wanted = {});
Result<GenerationConfig>
parseGenerationConfig(const std::string &text, const std::string &name,
                      const ModelConfig &model,
                      std::vector<std::string> &warnings);

} // namespace gemmac
