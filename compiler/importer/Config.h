// What a checkpoint's config.json and generation_config.json say about the text
// decoder, normalised: both spellings of the global layers' shape, defaults
// filled in, every rule of spec/gemma4-text.md section 1.2 resolved per layer.
// Knows JSON files; must not know MLIR, tensors or targets.
#pragma once

#include "support/Result.h"

#include <cstdint>
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
  bool hasVision = false, hasAudio = false; // towers exist in the checkpoint
  bool softRows = false; // the step takes rows that towers made
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
// (the field, the value and the allowed range are named).
Result<ModelConfig> readModelConfig(const std::string &folder,
                                    std::vector<std::string> &warnings);

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
                                     std::vector<std::string> &warnings);
Result<GenerationConfig>
parseGenerationConfig(const std::string &text, const std::string &name,
                      const ModelConfig &model,
                      std::vector<std::string> &warnings);

} // namespace gemmac
