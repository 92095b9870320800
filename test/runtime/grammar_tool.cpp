// What tests ask of grammars, one JSON object per line of the standard input:
// {"schema": ..., "accept": [TEXT...], "random": N, "seed": S, "steps": M,
// "masks": true}. Answers one line each: {"error": ..., "code": N}, or
// {"accept": [bool...], "random": [TEXT...] ("" for walks that found no end, as
// many as "unfinished"), "masks": tokens compared, "bad": what is wrong}.
// VOCAB: a JSON list of pieces, or none for a small one of all bytes and some
// pieces.
#include "runtime/grammar/gbnf.h"
#include "runtime/grammar/matcher.h"
#include "runtime/grammar/schema.h"
#include "test/runtime/grammar_vocabulary.h"

#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

using Json = nlohmann::ordered_json;
using namespace gm::grammar;

namespace {

double now() { // seconds of this thread
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

struct Tool {
  std::shared_ptr<const Vocabulary> vocabulary;
  std::vector<std::string> pieces;

  Json answer(const Json &ask);
  bool accepts(std::shared_ptr<Compiled> compiled, const std::string &text);
  std::string walk(std::shared_ptr<Compiled> compiled, std::mt19937_64 &random,
                   int steps, bool masks, Json &out);
};

// Byte by byte, so that nothing depends on how a text is cut.
bool Tool::accepts(std::shared_ptr<Compiled> compiled,
                   const std::string &text) {
  Machine machine(compiled->grammar);
  StateId s = machine.start();
  for (char c : text) {
    s = machine.step(s, uint8_t(c));
    if (machine.full())
      machine.compact({&s, 1});
  }
  return machine.ends(s);
}

// Draws allowed tokens; towards the end those that end.
std::string Tool::walk(std::shared_ptr<Compiled> compiled,
                       std::mt19937_64 &random, int steps, bool masks,
                       Json &out) {
  Matcher matcher(compiled);
  const size_t words = vocabulary->words();
  std::string text;
  for (int step = 0;; ++step) {
    std::vector<uint32_t> mask(words, ~0u);
    const double begin = now();
    matcher.allow(mask.data());
    const double took = now() - begin;
    out["slowest"] = std::max(out.value("slowest", 0.0), took);
    out["time"] = out.value("time", 0.0) + took;
    out["calls"] = out.value("calls", 0) + 1;
    std::vector<int32_t> allowed;
    for (int32_t id = 0; id < vocabulary->size(); ++id) {
      const bool set = mask[size_t(id) / 32] >> (id % 32) & 1;
      if (set)
        allowed.push_back(id);
      if (masks) {
        out["masks"] = out.value("masks", 0) + 1;
        if (set != matcher.can(id))
          out["bad"] = "mask of " + std::to_string(id) + " behind " + text;
      }
    }
    if (allowed.empty()) {
      out["bad"] = "no token behind " + text;
      return text;
    }
    if (matcher.may_end() && (step >= steps || random() % 4 == 0))
      return text;
    // Chance alone does not write a name that is required.
    if (step > steps + 300) {
      out["unfinished"] = out.value("unfinished", 0) + 1;
      return "";
    }
    int32_t id = allowed[random() % allowed.size()];
    // What closes, so that walks end.
    if (step >= steps)
      for (int tries = 0; tries < 20; ++tries) {
        const std::string &piece = pieces[size_t(id)];
        if (piece == "\"" || piece == "}" || piece == "]" || piece == "<eos>" ||
            piece == "<q>" || piece == "<call>")
          break;
        id = allowed[random() % allowed.size()];
        for (const char *closing : {"}", "]", "\"", "<q>"})
          if (random() % 2)
            for (int32_t other : allowed)
              if (pieces[size_t(other)] == closing)
                id = other;
      }
    if (pieces[size_t(id)] == "<eos>")
      return text;
    if (!matcher.accept(id)) {
      out["bad"] = "refused " + pieces[size_t(id)] + " behind " + text;
      return text;
    }
    text += pieces[size_t(id)];
  }
}

Json Tool::answer(const Json &ask) {
  Json out = Json::object();
  Grammar grammar;
  NodeId root = 0;
  const double begin = now();
  gm::Status status;
  if (ask.contains("gbnf")) {
    status = add_gbnf(grammar, ask["gbnf"].get<std::string>(), root);
  } else {
    SchemaStyle style;
    if (ask.value("order", "") == "declared")
      style.order = Order::Declared;
    style.closed = !ask.value("open", false);
    if (ask.value("call", false))
      style.call = true, style.quote = kQuoteToken;
    gm::Value schema = value_of_json(ask["schema"]);
    status = add_schema(grammar, schema, style, root);
  }
  if (status.ok())
    status = grammar.finish(root);
  out["compile"] = now() - begin;
  if (!status.ok()) {
    out["error"] = status.text;
    out["code"] = int(status.code);
    return out;
  }
  auto compiled = std::make_shared<Compiled>(std::move(grammar), vocabulary,
                                             std::vector<int32_t>{kStopToken});
  if (ask.contains("accept"))
    for (const Json &text : ask["accept"])
      out["accept"].push_back(accepts(compiled, text.get<std::string>()));
  std::mt19937_64 random(ask.value("seed", 1));
  Json texts = Json::array();
  for (int i = 0; i < ask.value("random", 0); ++i)
    texts.push_back(walk(compiled, random, ask.value("steps", 60),
                         ask.value("masks", false), out));
  out["random"] = texts;
  return out;
}

} // namespace

int main(int argc, char **argv) {
  std::vector<std::string> pieces;
  if (argc > 1) {
    std::ifstream file(argv[1]);
    pieces = Json::parse(file).get<std::vector<std::string>>();
    pieces.insert(pieces.begin(), small_controls.begin(), small_controls.end());
  } else {
    pieces = small_pieces();
  }
  Tool tool = {vocabulary_of(pieces), pieces};
  for (std::string line; std::getline(std::cin, line);)
    std::cout << tool.answer(Json::parse(line))
                     .dump(-1, ' ', true, Json::error_handler_t::replace)
              << std::endl;
}
