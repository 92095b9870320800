// See card.h. A group is all tensors whose names differ in the layer alone and
// that have one source type and one stored format.
#include "runtime/app/card.h"
#include "runtime/manifest_generated.h"

#include <algorithm>
#include <cctype>
#include <cinttypes>
#include <cstdio>

namespace gm {

namespace mf = gemmac::manifest;

namespace {

struct TensorGroup {
  std::string tensor, source, stored;
  uint64_t pieces = 0, bytes = 0, values = 0;
  double largest = 0, squares = 0, energy = 0; // sums as of StoredError

  double rms() const { return values ? std::sqrt(squares / values) : 0; }
  double relative() const {
    return squares == 0 ? 0 : std::sqrt(squares / energy);
  }
};

struct Share {
  std::string format;
  uint64_t bytes = 0;
};

struct Card {
  std::vector<TensorGroup> groups; // descending bytes
  std::vector<Share> shares;       // of formats, descending bytes
  uint64_t bytes = 0;              // of all weights, without gaps between them
  double largest = 0;
  std::string where; // tensor of the largest error
};

std::string text_of(const flatbuffers::String *s) { return s ? s->str() : ""; }

// Numbers between dots become stars.
std::string pattern_of(const std::string &name) {
  std::string out;
  for (size_t at = 0; at <= name.size();) {
    size_t end = std::min(name.find('.', at), name.size());
    std::string part = name.substr(at, end - at);
    bool number = !part.empty() &&
                  std::all_of(part.begin(), part.end(),
                              [](unsigned char c) { return isdigit(c); });
    out += (at ? "." : "") + (number ? "*" : part);
    at = end + 1;
  }
  return out;
}

TensorGroup &group_of(Card &card, const std::string &tensor,
                      const std::string &source, const std::string &stored) {
  for (TensorGroup &g : card.groups)
    if (g.tensor == tensor && g.source == source && g.stored == stored)
      return g;
  TensorGroup &g = card.groups.emplace_back();
  g.tensor = tensor, g.source = source, g.stored = stored;
  return g;
}

void add_piece(Card &card, const mf::Program &p, const std::string &format,
               const mf::Piece &piece, uint64_t bytes) {
  std::string name = text_of(piece.tensor()), type;
  if (p.sources() && piece.source() < p.sources()->size())
    type = text_of(p.sources()->Get(piece.source())->dtype());
  TensorGroup &g = group_of(card, pattern_of(name), type, format);
  g.pieces += piece.values() > 0; // the second part of a split head has none
  g.bytes += bytes;
  g.values += piece.values();
  g.largest = std::max(g.largest, piece.max_error());
  double squares =
      piece.rms_error() * piece.rms_error() * double(piece.values());
  g.squares += squares;
  if (piece.relative_error() > 0)
    g.energy += squares / (piece.relative_error() * piece.relative_error());
  if (piece.max_error() > card.largest) {
    card.largest = piece.max_error();
    card.where = name;
  }
}

void add_weight(Card &card, const mf::Program &p, const mf::Weight &w) {
  std::string format = text_of(w.format());
  auto share = std::find_if(card.shares.begin(), card.shares.end(),
                            [&](const Share &s) { return s.format == format; });
  if (share == card.shares.end())
    share = card.shares.insert(card.shares.end(), {format, 0});
  share->bytes += w.bytes();
  card.bytes += w.bytes();
  uint64_t values = 0, given = 0, seen = 0;
  if (!w.pieces())
    return;
  for (const mf::Piece *piece : *w.pieces())
    values += piece->values();
  // Each piece has its part of the bytes; padding counts with the last.
  for (const mf::Piece *piece : *w.pieces()) {
    seen += piece->values();
    uint64_t end =
        seen == values
            ? w.bytes()
            : uint64_t(double(w.bytes()) * (double(seen) / double(values)));
    add_piece(card, p, format, *piece, end - given);
    given = end;
  }
}

Card make_card(const mf::Program &p) {
  Card card;
  if (p.weights())
    for (const mf::Weight *w : *p.weights())
      add_weight(card, p, *w);
  auto larger = [](const auto &a, const auto &b) { return a.bytes > b.bytes; };
  std::stable_sort(card.groups.begin(), card.groups.end(), larger);
  std::stable_sort(card.shares.begin(), card.shares.end(), larger);
  return card;
}

std::string error_text(double x) {
  char text[32];
  snprintf(text, sizeof text, "%.3g", x);
  return x == 0 ? "exact" : text;
}

void print_fidelity(const mf::Fidelity *f) {
  if (!f) {
    printf("\nnot run beside exact math: gemmac --verify TEXT does that\n");
    return;
  }
  printf("\nbeside exact math (f32 weights, activations and caches) on '%s', "
         "%" PRIu64 " tokens in windows of %d\n",
         text_of(f->text()).c_str(), f->tokens(), f->window());
  printf("  KL divergence   mean %.3g, median %.3g, 99 %% %.3g, largest %.3g\n",
         f->kl_mean(), f->kl_median(), f->kl_p99(), f->kl_max());
  printf("  same top token  %.2f %%\n", 100 * f->same_top());
  printf("  perplexity      %.6g, %.6f times that of exact math\n", f->ppl(),
         f->ppl_ratio());
}

} // namespace

void print_card(const mf::Program &program) {
  Card card = make_card(program);
  size_t width = 6;
  for (const TensorGroup &g : card.groups)
    width = std::max(width, g.tensor.size());
  printf("%-*s %-5s %-6s %6s %15s %10s %10s %10s\n", int(width), "tensor",
         "from", "stored", "count", "bytes", "max error", "rms error",
         "relative");
  for (const TensorGroup &g : card.groups)
    printf("%-*s %-5s %-6s %6" PRIu64 " %15" PRIu64 " %10s %10s %10s\n",
           int(width), g.tensor.c_str(), g.source.c_str(), g.stored.c_str(),
           g.pieces, g.bytes, error_text(g.largest).c_str(),
           error_text(g.rms()).c_str(), error_text(g.relative()).c_str());
  printf("%-*s %-5s %-6s %6s %15" PRIu64 " %10s%s%s\n\n", int(width), "total",
         "", "", "", card.bytes, error_text(card.largest).c_str(),
         card.where.empty() ? "" : "  ", card.where.c_str());
  for (const Share &s : card.shares)
    printf("%-6s %15" PRIu64 " bytes %6.2f %%\n", s.format.c_str(), s.bytes,
           100 * double(s.bytes) / double(std::max<uint64_t>(card.bytes, 1)));
  print_fidelity(program.fidelity());
}

void add_card(Json &j, const mf::Program &program) {
  Card card = make_card(program);
  j.open("card", '{');
  j.open("groups", '[');
  for (const TensorGroup &g : card.groups) {
    j.begin('{');
    j.add("tensor", g.tensor);
    j.add("from", g.source);
    j.add("stored", g.stored);
    j.add("count", g.pieces);
    j.add("values", g.values);
    j.add("bytes", g.bytes);
    j.add("max_error", g.largest);
    j.add("rms_error", g.rms());
    j.add("relative_error", g.relative());
    j.close('}');
  }
  j.close(']');
  j.open("formats", '{');
  for (const Share &s : card.shares)
    j.add(s.format.c_str(), s.bytes);
  j.close('}');
  j.add("bytes", card.bytes);
  j.add("max_error", card.largest);
  j.close('}');
}

void add_fidelity(Json &j, const mf::Program &program) {
  const mf::Fidelity *f = program.fidelity();
  if (!f) {
    j.key("fidelity"), j.raw("null");
    return;
  }
  char hash[20];
  snprintf(hash, sizeof hash, "%016" PRIx64, f->text_hash());
  j.open("fidelity", '{');
  j.add("text", text_of(f->text()));
  j.add("text_hash", hash);
  j.add("window", f->window());
  j.add("tokens", f->tokens());
  j.add("kl_mean", f->kl_mean());
  j.add("kl_median", f->kl_median());
  j.add("kl_p99", f->kl_p99());
  j.add("kl_max", f->kl_max());
  j.add("same_top", f->same_top());
  j.add("ppl", f->ppl());
  j.add("ppl_ratio", f->ppl_ratio());
  j.close('}');
}

} // namespace gm
