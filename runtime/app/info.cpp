// `PROGRAM info`: what this program was made from and for, and every term of
// its memory plan, for people or as JSON; its fidelity card; a check of its
// hashes. Runs nothing.
#include "runtime/abi.h"
#include "runtime/app/card.h"
#include "runtime/app/commands.h"
#include "runtime/app/json.h"
#include "runtime/app/media.h"
#include "runtime/app/media_plan.h"
#include "runtime/app/program.h"
#include "runtime/app/verify.h"
#include "runtime/manifest_generated.h"

#include <cinttypes>
#include <cstdio>
#include <map>

namespace gm {

namespace mf = gemmac::manifest;

namespace {

std::string text_of(const flatbuffers::String *s) { return s ? s->str() : ""; }

std::string hex(uint64_t x) {
  char text[20];
  snprintf(text, sizeof text, "%016" PRIx64, x);
  return text;
}

const char *chat_name(mf::Chat chat) {
  return chat == mf::Chat_Small   ? "small"
         : chat == mf::Chat_Large ? "large"
                                  : "none";
}

std::string shape_of(const mf::Source &s, const char *separator) {
  std::string out;
  if (s.shape())
    for (uint64_t n : *s.shape())
      out += (out.empty() ? "" : separator) + std::to_string(n);
  return out;
}

std::string ids_of(const flatbuffers::Vector<int32_t> *ids,
                   const char *separator) {
  std::string out;
  if (ids)
    for (int32_t id : *ids)
      out += (out.empty() ? "" : separator) + std::to_string(id);
  return out;
}

void add_model(Json &j, const mf::Program &p) {
  const mf::Model &m = *p.model();
  j.open("model", '{');
  j.add("name", text_of(m.name()));
  j.add("type", text_of(m.type()));
  j.add("variant", text_of(m.variant()));
  j.add("parameters", m.parameters());
  j.add("layers", m.layers());
  j.add("hidden", m.hidden());
  j.add("vocab", m.vocab());
  j.add("window", m.window());
  j.add("max_context", m.max_context());
  j.close('}');
  j.open("target", '{');
  const mf::Target &t = *p.target();
  j.add("name", text_of(t.name()));
  j.add("triple", text_of(t.triple()));
  j.add("cpu", text_of(t.cpu()));
  j.open("required", '[');
  if (t.required())
    for (const flatbuffers::String *name : *t.required())
      j.raw(json_string(text_of(name)));
  j.close(']');
  j.close('}');
}

// The table of per-layer embeddings, or null.
const mf::Weight *ple_table(const mf::Program &p) {
  if (p.ple() && p.ple()->weight() && p.weights())
    for (const mf::Weight *w : *p.weights())
      if (text_of(w->name()) == p.ple()->weight()->str())
        return w;
  return nullptr;
}

const char *name_of(Where where) {
  return where == Where::Host     ? "host"
         : where == Where::Device ? "device"
                                  : "pinned";
}

// "PTX for compute capability 8.0 or later, machine code for 9.0".
std::string images_text(const mf::Target &target) {
  auto number = [](int sm) {
    return std::to_string(sm / 10) + "." + std::to_string(sm % 10);
  };
  std::string text;
  for (const gm_image *i = gm_model.image; i && i->data; ++i)
    text += (text.empty() ? "" : ", ") +
            (i->sm ? "machine code for " + number(i->sm)
                   : "PTX for compute capability " + number(target.sm()) +
                         " or later");
  return text;
}

void add_device(Json &j, const Options &options, const Plan &plan) {
  j.open("images", '[');
  for (const gm_image *i = gm_model.image; i && i->data; ++i)
    j.raw(std::to_string(i->sm));
  j.close(']');
  j.open("device", '{');
  DeviceFacts facts;
  if (Status s = find_device(options.device, facts); s.ok()) {
    j.add("name", facts.name);
    j.add("sm", facts.sm);
    j.add("bytes", facts.memory);
    j.add("driver", facts.driver);
  } else {
    j.add("missing", s.text);
  }
  j.close('}');
  j.open("memory_of", '{');
  for (int i = 0; i < plan.terms; ++i)
    j.add(plan.term[i].name, name_of(plan.term[i].where));
  j.close('}');
  j.add("device_bytes", plan.device);
}

void add_ple(Json &j, const mf::Program &p) {
  const mf::Weight *table = ple_table(p);
  if (!table)
    return;
  j.open("per_layer_embeddings", '{');
  j.add("layout", text_of(table->layout()));
  j.add("rows", p.ple()->rows());
  j.add("row_bytes", p.ple()->row_bytes());
  j.close('}');
}

// What the layers' matrices of one format come to; a stack of experts is one.
struct FormatShare {
  uint64_t matrices = 0, bytes = 0;
};

// By format: all matrices but the head, which is also the embedding, and the
// table of per-layer embeddings.
std::map<std::string, FormatShare> body_formats(const mf::Program &p) {
  std::map<std::string, FormatShare> shares;
  if (p.weights())
    for (const mf::Weight *w : *p.weights()) {
      std::string layout = text_of(w->layout());
      if (layout.ends_with("_rows") || text_of(w->name()) == "embed" ||
          text_of(w->name()) == "embed.low")
        continue; // vectors and the table are stored by row
      FormatShare &share = shares[text_of(w->format())];
      ++share.matrices;
      share.bytes += w->bytes();
    }
  return shares;
}

void add_formats(Json &j, const mf::Program &p) {
  j.open("formats", '{');
  j.add("head", text_of(p.weight_format()));
  j.open("body", '{');
  for (const auto &[format, share] : body_formats(p)) {
    j.open(format.c_str(), '{');
    j.add("matrices", share.matrices);
    j.add("bytes", share.bytes);
    j.close('}');
  }
  j.close('}');
  j.close('}');
}

void add_media(Json &j, const mf::Program &p) {
  j.open("media", '[');
  if (p.media())
    for (const mf::Medium *m : *p.media()) {
      j.begin('{');
      j.add("kind", text_of(m->kind()));
      j.add("tower", m->tower());
      if (m->budget())
        j.add("default_tokens", m->budget());
      j.add("token", m->soft());
      j.close('}');
    }
  j.close(']');
}

// "text, pictures (280 tokens), films (70 tokens a frame), sounds (30 s)".
std::string media_text(const mf::Program &p) {
  std::string text = "text";
  if (p.media())
    for (const mf::Medium *m : *p.media()) {
      if (m->begin() < 0 || m->soft() < 0 || m->end() < 0)
        continue; // no tokens mark its place
      const std::string kind = text_of(m->kind()),
                        tokens = std::to_string(m->budget()) + " tokens";
      text += kind == "image"   ? ", pictures (" + tokens + ")"
              : kind == "video" ? ", films (" + tokens + " a frame)"
                                : ", sounds (30 s)";
    }
  return text;
}

void add_sampling(Json &j, const mf::Sampling *s) {
  if (!s)
    return;
  j.open("sampling", '{');
  j.add("temperature", s->temperature());
  j.add("top_p", s->top_p());
  j.add("top_k", s->top_k());
  j.add("min_p", s->min_p());
  j.open("stop", '['), j.raw(ids_of(s->stop(), ", ")), j.close(']');
  j.open("suppress", '['), j.raw(ids_of(s->suppress(), ", ")), j.close(']');
  if (s->limit())
    j.add("limit", s->limit());
  j.close('}');
}

void add_sources(Json &j, const mf::Program &p) {
  j.open("sources", '[');
  if (p.sources())
    for (const mf::Source *s : *p.sources()) {
      j.begin('{');
      j.add("tensor", text_of(s->tensor()));
      j.add("dtype", text_of(s->dtype()));
      j.open("shape", '['), j.raw(shape_of(*s, ", ")), j.close(']');
      if (s->ignored()) {
        j.add("ignored", text_of(s->ignored()));
      } else {
        j.add("hash", hex(s->hash()));
        j.add("max_error", s->max_error());
        j.add("rms_error", s->rms_error());
        j.add("relative_error", s->relative_error());
      }
      j.close('}');
    }
  j.close(']');
}

void print_json(const Program &program, const Options &options,
                const Plan &plan) {
  const mf::Program &p = program.manifest();
  Json j;
  j.add("compiler", text_of(p.compiler()));
  j.add("abi", p.abi());
  add_model(j, p);
  add_formats(j, p);
  j.add("cache_format", text_of(p.cache_format()));
  add_ple(j, p);
  j.add("weights_id", text_of(p.weights_id()));
  j.add("weights_bytes", p.weights_bytes());
  j.add("external", p.external());
  j.add("tokenizer", program.has_tokenizer());
  j.add("chat", chat_name(p.chat()));
  j.add("chat_template", text_of(p.chat_template()));
  add_media(j, p);
  add_sampling(j, p.sampling());
  j.open("plan", '{');
  j.add("context", plan.context);
  j.add("batch", plan.batch);
  j.add("threads", plan.threads);
  j.add("slots", plan.slots);
  j.add("slot_rows", plan.slot_rows);
  j.add("checkpoints", plan.checkpoints);
  j.add("outputs", plan.outputs);
  j.add("ring", plan.ring);
  j.add("pages_local", plan.pages[0]);
  j.add("pages_global", plan.pages[1]);
  j.add("image_rows", plan.image_rows);
  j.add("sound_rows", plan.sound_rows);
  j.add("soft_rows", plan.soft_rows);
  j.close('}');
  j.open("memory", '{');
  for (int i = 0; i < plan.terms; ++i)
    j.add(plan.term[i].name, plan.term[i].bytes);
  j.close('}');
  j.add("total_bytes", plan.total);
  if (has_device())
    add_device(j, options, plan);
  j.add("available_bytes", available_memory());
  add_sources(j, p);
  add_fidelity(j, p);
  printf("%s}\n", j.out.c_str());
}

void print_text(const Program &program, const Options &options,
                const Plan &plan) {
  const mf::Program &p = program.manifest();
  const mf::Model &m = *p.model();
  const mf::Target &t = *p.target();
  auto line = [](const char *name, const std::string &value) {
    printf("%-13s %s\n", name, value.c_str());
  };
  auto num = [](auto n) { return std::to_string(n); };
  line("model", text_of(m.name()) + " (" + text_of(m.type()) + ", " +
                    text_of(m.variant()) + ")");
  line("", num(m.parameters()) + " parameters, " + num(m.layers()) +
               " layers of width " + num(m.hidden()) + ", vocabulary " +
               num(m.vocab()) + ", window " + num(m.window()) +
               ", context up to " + num(m.max_context()));
  line("target", text_of(t.name()) + " (" + text_of(t.triple()) + ", " +
                     text_of(t.cpu()) + ")");
  if (has_device()) {
    DeviceFacts d;
    Status s = find_device(options.device, d);
    line("device", s.ok() ? std::string(d.name) + ", compute capability " +
                                num(d.sm / 10) + "." + num(d.sm % 10) + ", " +
                                num(d.memory >> 20) + " MiB, driver of CUDA " +
                                num(d.driver / 1000) + "." +
                                num(d.driver % 1000 / 10)
                          : std::string("none that can be used: ") + s.text);
    line("", images_text(t));
  }
  line("compiler",
       "gemmac " + text_of(p.compiler()) + ", file version " + num(p.abi()));
  line("formats", "head " + text_of(p.weight_format()) + ", caches " +
                      text_of(p.cache_format()) + ", body:");
  std::map<std::string, FormatShare> shares = body_formats(p);
  uint64_t body = 0;
  for (const auto &[format, share] : shares)
    body += share.bytes;
  for (const auto &[format, share] : shares)
    printf("%-13s %-5s %14s, %" PRIu64 " bytes (%.1f %%)\n", "", format.c_str(),
           count_of(share.matrices, "matrix", "matrices").c_str(), share.bytes,
           100 * double(share.bytes) / double(body));
  if (const mf::Weight *table = ple_table(p))
    line("per-layer", num(p.ple()->rows()) + " embeddings of " +
                          num(p.ple()->row_bytes()) + " bytes (" +
                          text_of(table->layout()) + "), read row by row");
  line("weights",
       num(p.weights_bytes()) + " bytes, id " + text_of(p.weights_id()) +
           (p.external() ? ", in '" + text_of(p.external_name()) + "'" : ""));
  line("",
       has_device()                ? "copied to the device at start"
       : options.load == Load::Map ? "mapped from the file"
       : options.load == Load::Copy
           ? "copied into memory (--load), 0.2 s per GB or more"
           : "mapped from the file; copied into memory where the page cache "
             "holds them in small pages, 0.2 s per GB or more (--load)");
  line("tokenizer", program.has_tokenizer()
                        ? num(program.tokenizer.vocab()) + " tokens"
                        : std::string("none: ids only"));
  line("chat", std::string(chat_name(p.chat())) +
                   (text_of(p.chat_template()).empty() ? "" : "; ") +
                   text_of(p.chat_template()));
  line("takes", media_text(p));
  if (const mf::Sampling *s = p.sampling())
    line("sampling",
         "temperature " + exact(s->temperature()) + ", top-k " +
             num(s->top_k()) + ", top-p " + exact(s->top_p()) +
             (s->min_p() > 0 ? ", min-p " + exact(s->min_p()) : "") +
             ", stop " + ids_of(s->stop(), " ") +
             (s->suppress() && s->suppress()->size()
                  ? ", suppressed " + ids_of(s->suppress(), " ")
                  : "") +
             (s->limit() ? ", ids below " + num(s->limit()) : ""));
  printf("\nmemory for a context of %" PRId64 ", batches of %" PRId64 " rows",
         plan.context, plan.batch);
  if (!has_device())
    printf(", %" PRId64 " threads", plan.threads);
  printf(" (ring of sliding layers: %" PRId64 " keys)%s\n", plan.ring,
         has_device() ? "; pinned: as much of both sides" : "");
  if (plan.soft_rows)
    printf("  and %" PRId64 " soft rows, a picture of up to %" PRId64
           ", a sound of up to %" PRId64 "\n",
           plan.soft_rows, plan.image_rows, plan.sound_rows);
  for (int i = 0; i < plan.terms; ++i) {
    const Term &term = plan.term[i];
    printf("  %-13s %15" PRIu64 "  ", term.name, term.bytes);
    if (has_device())
      printf("%-6s  ", name_of(term.where));
    printf("%s\n", term.about);
  }
  if (has_device())
    printf("  %-13s %15" PRIu64 "  %.1f MiB\n", "on the device", plan.device,
           double(plan.device) / (1 << 20));
  uint64_t have = available_memory();
  printf("  %-13s %15" PRIu64 "  %.1f MiB; %.1f MiB are available%s\n",
         has_device() ? "on the host" : "total", plan.total,
         double(plan.total) / (1 << 20), double(have) / (1 << 20),
         check_plan(program.file, options, plan).ok() ? "" : ": does not fit");
}

// How many tensors of the checkpoint are used, and why the others are not.
void print_source_summary(const mf::Program &p) {
  uint64_t used = 0;
  std::map<std::string, uint64_t> ignored;
  if (p.sources())
    for (const mf::Source *s : *p.sources())
      s->ignored() ? ++ignored[text_of(s->ignored())] : ++used;
  printf("\n%-13s %s; --sources lists them\n", "sources",
         (count_of(used, "tensor") + " used").c_str());
  for (const auto &[reason, n] : ignored)
    printf("%-13s %s not used: %s\n", "", count_of(n, "tensor").c_str(),
           reason.c_str());
}

void print_sources(const mf::Program &p) {
  if (p.sources())
    for (const mf::Source *s : *p.sources())
      printf("%s %s [%s] %s\n",
             s->ignored() ? "ignored         " : hex(s->hash()).c_str(),
             text_of(s->dtype()).c_str(), shape_of(*s, ", ").c_str(),
             (text_of(s->tensor()) +
              (s->ignored() ? ": " + text_of(s->ignored()) : ""))
                 .c_str());
}

struct Request {
  Options options;
  MediaStyle style;
  MediaCounts counts;
  bool json = false, card = false, verify = false, sources = false,
       media = false;

  Syntax syntax() {
    Syntax s = {
        "info", "Shows model, target, formats and the memory plan.", {}, {}};
    s.flags = machine_flags(options);
    s.flags.push_back({"--parallel", "-np", "N",
                       "sequences that are held at once (default: 1)",
                       &options.slots, 1, 4096});
    s.flags.push_back(checkpoints_flag(options, 0));
    s.flags.push_back({"--media", "", "",
                       "with the room for pictures, sounds and films that "
                       "'chat' keeps",
                       &media});
    s.flags.push_back({"--images", "", "N",
                       "pictures of a prompt (default: 0; 1 with "
                       "--image-tokens)",
                       &counts.images, 0, 4096});
    s.flags.push_back(image_tokens_flag(style.image_tokens));
    s.flags.push_back(image_pixels_flag(style.image_pixels));
    s.flags.push_back({"--audios", "", "N", "sounds of a prompt (default: 0)",
                       &counts.sounds, 0, 4096});
    s.flags.push_back({"--frames", "", "N",
                       "frames of the films of a prompt, of a long film 32 "
                       "(default: 0)",
                       &counts.frames, 0, 4096});
    s.flags.push_back({"--card", "", "",
                       "show instead what storing has changed: error per group "
                       "of tensors, formats,\n"
                       "                             result of gemmac --verify",
                       &card});
    s.flags.push_back({"--verify", "", "",
                       "check instead the hash of every weight, of code and "
                       "tokenizer; exit code 3 on damage",
                       &verify});
    s.flags.push_back({"--sources", "", "",
                       "show instead the checkpoint's tensors: hash, type, "
                       "shape, name, and why one is not used",
                       &sources});
    s.flags.push_back(
        {"--json", "", "",
         "print JSON (with --card what that shows; else all but the card)",
         &json});
    return s;
  }
};

// Only the file: a damaged tokenizer must be named by its hash, not by what
// reading it happens to meet.
Status verify(const Request &request) {
  File file;
  if (Status s = open_file(nullptr, file); !s.ok())
    return s;
  Verified v;
  Status s = verify_file(
      file,
      request.options.threads ? request.options.threads : default_threads(), v);
  close_file(file);
  if (!s.ok())
    return s;
  printf(request.json ? "{\"verified\": true, \"weights\": %" PRIu64
                        ", \"sections\": %" PRIu64 ", \"bytes\": %" PRIu64 "}\n"
                      : "all hashes match: %" PRIu64 " weights, %" PRIu64
                        " sections, %" PRIu64 " bytes\n",
         v.weights, v.sections, v.bytes);
  return finish_output();
}

Status info(Request &request) {
  if (request.card + request.verify + request.sources > 1)
    return failure(USAGE, "--card, --verify and --sources exclude each other");
  if (request.verify)
    return verify(request);
  Program program;
  if (Status s = program.open(false); !s.ok())
    return s;
  if (request.card) {
    if (!request.json) {
      print_card(program.manifest());
      return finish_output();
    }
    Json j;
    add_card(j, program.manifest());
    add_fidelity(j, program.manifest());
    printf("%s}\n", j.out.c_str());
    return finish_output();
  }
  if (Status s = request.style.check(); !s.ok())
    return s;
  MediaCounts &counts = request.counts;
  if (request.media && (counts.images || counts.sounds || counts.frames))
    return failure(USAGE, "--media excludes --images, --audios and --frames");
  Media media(program, request.style);
  counts.image_tokens = request.style.image_tokens;
  counts.image_pixels = request.style.image_pixels;
  if (counts.image_tokens && !counts.images)
    counts.images = 1;
  if (request.media)
    media.reserve_any(request.options);
  else if (Status s = reserve_media(program.file, counts, request.options);
           !s.ok())
    return s;
  Plan plan;
  if (Status s = make_plan(program.file, request.options, plan); !s.ok())
    return s;
  if (request.json) {
    print_json(program, request.options, plan);
  } else if (request.sources) {
    print_sources(program.manifest());
  } else {
    print_text(program, request.options, plan);
    print_source_summary(program.manifest());
  }
  return finish_output();
}

} // namespace

int info_main(const Invocation &call) { return run_command(call, info); }

} // namespace gm
