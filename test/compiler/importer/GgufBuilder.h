// Writes GGUF files value by value, right or wrong.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

namespace gemmac::test {

inline std::string bits(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i)
    text += char(value >> 8 * i & 255);
  return text;
}

inline std::string ggufString(const std::string &text) {
  return bits(text.size(), 8) + text;
}

// A model of two layers (sliding, global) of width 32 with a vocabulary of 272;
// every part can be changed before `file`.
struct GgufBuilder {
  struct Entry {
    std::string key, bytes; // type and value
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> ne; // as the file has them: the row length first
    uint32_t type = 0;        // F32
    uint64_t bytes = 0;
    int64_t offset = -1; // -1: the next place
    std::string data;    // empty: zeros
  };

  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<Entry> entries;
  std::vector<Tensor> tensors;
  uint64_t alignment = 32;
  int64_t tensorCount = -1, entryCount = -1; // -1: the true ones

  void raw(const std::string &key, const std::string &bytes) {
    for (Entry &entry : entries)
      if (entry.key == key) {
        entry.bytes = bytes;
        return;
      }
    entries.push_back({key, bytes});
  }
  void erase(const std::string &key) {
    std::erase_if(entries, [&](const Entry &e) { return e.key == key; });
  }
  void u32(const std::string &key, uint32_t value) {
    raw(key, bits(4, 4) + bits(value, 4));
  }
  void f32(const std::string &key, float value) {
    raw(key, bits(6, 4) + bits(std::bit_cast<uint32_t>(value), 4));
  }
  void string(const std::string &key, const std::string &value) {
    raw(key, bits(8, 4) + ggufString(value));
  }
  void array(const std::string &key, uint32_t type,
             const std::vector<int64_t> &values) {
    int size = type == 7 ? 1 : 4;
    std::string text = bits(9, 4) + bits(type, 4) + bits(values.size(), 8);
    for (int64_t value : values)
      text += bits(uint64_t(value), size);
    raw(key, text);
  }
  void strings(const std::string &key, const std::vector<std::string> &values) {
    std::string text = bits(9, 4) + bits(8, 4) + bits(values.size(), 8);
    for (const std::string &value : values)
      text += ggufString(value);
    raw(key, text);
  }

  Tensor &tensor(const std::string &name) {
    for (Tensor &t : tensors)
      if (t.name == name)
        return t;
    return tensors.emplace_back(Tensor{name, {}, 0, 0, -1, {}});
  }
  // An F32 tensor; the row length first.
  void add(const std::string &name, std::vector<uint64_t> ne) {
    uint64_t bytes = 4;
    for (uint64_t n : ne)
      bytes *= n;
    Tensor &t = tensor(name);
    t.ne = std::move(ne);
    t.bytes = bytes;
  }
  void drop(const std::string &name) {
    std::erase_if(tensors, [&](const Tensor &t) { return t.name == name; });
  }

  static uint64_t up(uint64_t x, uint64_t to) { return (x + to - 1) / to * to; }

  std::string header() const {
    std::string text =
        magic + bits(version, 4) +
        bits(tensorCount < 0 ? tensors.size() : uint64_t(tensorCount), 8) +
        bits(entryCount < 0 ? entries.size() : uint64_t(entryCount), 8);
    for (const Entry &entry : entries)
      text += ggufString(entry.key) + entry.bytes;
    uint64_t at = 0;
    for (const Tensor &t : tensors) {
      text += ggufString(t.name) + bits(t.ne.size(), 4);
      for (uint64_t n : t.ne)
        text += bits(n, 8);
      text += bits(t.type, 4) + bits(t.offset < 0 ? at : uint64_t(t.offset), 8);
      at = up(at + t.bytes, alignment);
    }
    text.resize(up(text.size(), alignment), '\0');
    return text;
  }
  std::string file() const {
    std::string text = header();
    for (const Tensor &t : tensors) {
      text += t.data.empty() ? std::string(t.bytes, '\0') : t.data;
      text.resize(up(text.size(), alignment), '\0');
    }
    return text;
  }

  GgufBuilder() {
    string("general.architecture", "gemma4");
    u32("gemma4.block_count", 2);
    u32("gemma4.context_length", 4096);
    u32("gemma4.embedding_length", 32);
    u32("gemma4.feed_forward_length", 48);
    u32("gemma4.attention.head_count", 4);
    array("gemma4.attention.head_count_kv", 5, {2, 1});
    f32("gemma4.attention.layer_norm_rms_epsilon", 1e-6f);
    u32("gemma4.attention.key_length", 32);
    u32("gemma4.attention.value_length", 32);
    u32("gemma4.attention.key_length_swa", 16);
    u32("gemma4.attention.value_length_swa", 16);
    u32("gemma4.attention.sliding_window", 24);
    array("gemma4.attention.sliding_window_pattern", 7, {1, 0});
    f32("gemma4.rope.freq_base", 1e6f);
    f32("gemma4.final_logit_softcapping", 30);
    u32("gemma4.rope.dimension_count", 32);
    u32("gemma4.rope.dimension_count_swa", 16);
    add("token_embd.weight", {32, 272});
    add("output_norm.weight", {32});
    add("rope_freqs.weight", {16});
    std::string factors;
    for (int i = 0; i < 16; ++i)
      factors += bits(std::bit_cast<uint32_t>(i < 4 ? 1.0f : 1e30f), 4);
    tensor("rope_freqs.weight").data = factors;
    for (int i = 0; i < 2; ++i) {
      std::string blk = "blk." + std::to_string(i) + ".";
      uint64_t dim = i ? 32 : 16, kv = i ? 32 : 32;
      for (const char *norm :
           {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"})
        add(blk + norm + ".weight", {32});
      add(blk + "attn_q.weight", {32, 4 * dim});
      add(blk + "attn_k.weight", {32, kv});
      if (i == 0)
        add(blk + "attn_v.weight", {32, kv});
      add(blk + "attn_output.weight", {4 * dim, 32});
      add(blk + "attn_q_norm.weight", {dim});
      add(blk + "attn_k_norm.weight", {dim});
      add(blk + "ffn_gate.weight", {32, 48});
      add(blk + "ffn_up.weight", {32, 48});
      add(blk + "ffn_down.weight", {48, 32});
      add(blk + "layer_output_scale.weight", {1});
    }
  }
};

} // namespace gemmac::test
