// The functions of gemma.h: handles, sizes of structs, and nothing that
// escapes: whatever goes wrong inside is an error of the call.
#include "runtime/lib/request.h"
#include "runtime/lib/stream.h"

#include <algorithm>
#include <cstring>
#include <new>

using namespace gm;
using namespace gm::lib;

struct gemma_model {
  std::shared_ptr<Model> model;
};

struct gemma_generation {
  std::weak_ptr<Model> model; // which may be closed meanwhile
  std::shared_ptr<Stream> stream;
  int64_t number = 0; // of the scheduler
  Piece piece;        // that the caller holds
};

namespace {

gemma_code told(const Status &s, gemma_error *error) {
  if (!s.ok() && error) {
    error->code = s.code;
    snprintf(error->text, sizeof error->text, "%s", s.text);
  }
  return gemma_code(s.code);
}

// What `work` gives, as the function's result.
template <typename Work>
gemma_code guarded(gemma_error *error, Work work) {
  try {
    return told(work(), error);
  } catch (const std::bad_alloc &) {
    return told(failure(RESOURCES, "no memory left"), error);
  } catch (const std::exception &e) {
    return told(failure(RUN_ERROR, "%.400s", e.what()), error);
  } catch (...) {
    return told(failure(RUN_ERROR, "an unknown failure"), error);
  }
}

Status is_null(const char *what) {
  return failure(USAGE, "%s expects a pointer, got NULL", what);
}

// A struct of the caller's version in this one's form; what it has not stays.
template <typename T>
Status take_struct(const char *name, const T *given, T &out) {
  if (!given)
    return is_null(name);
  if (given->size <= sizeof given->size || given->size > 4096)
    return failure(USAGE, "%s.size expects sizeof(gemma_%s), %zu, got %zu",
                   name, name, sizeof(T), given->size);
  memcpy(&out, given, std::min(given->size, sizeof(T)));
  return {};
}

// The other way; its size stays.
template <typename T>
Status give_struct(const char *name, T made, T *out) {
  T sized;
  if (Status s = take_struct(name, out, sized); !s.ok())
    return s;
  made.size = out->size;
  memcpy(out, &made, std::min(out->size, sizeof(T)));
  return {};
}

// As much as fits, and how much there is.
template <typename From, typename To>
void give_some(const From *from, size_t have, To *to, size_t *count) {
  if (to)
    std::copy_n(from, std::min(have, *count), to);
  *count = have;
}

Status settings_of(const gemma_options *given, Settings &out) {
  gemma_options o = {};
  if (given)
    if (Status s = take_struct("options", given, o); !s.ok())
      return s;
  struct Number {
    const char *name;
    int64_t given;
    int64_t &to;
    int64_t most;
  };
  Options &m = out.machine;
  for (const Number &n :
       {Number{"context", o.context, m.context, 1 << 24},
        {"slots", o.slots, m.slots, 256},
        {"queue", o.queue, out.queue, 1 << 16},
        {"batch", o.batch, m.batch, 1 << 20},
        {"threads", o.threads, m.threads, 256},
        {"checkpoints", o.checkpoints, m.checkpoints, 64},
        {"device", o.device, m.device, 1 << 16},
        {"media_bytes", o.media_bytes, out.media_bytes, int64_t(1) << 40}}) {
    if (n.given < 0 || n.given > n.most)
      return failure(USAGE, "options.%s expects 0 to %lld, got %lld", n.name,
                     (long long)n.most, (long long)n.given);
    if (n.given)
      n.to = n.given;
  }
  out.path = o.path;
  return {};
}

} // namespace

extern "C" {

const char *gemma_version() { return GEMMA_VERSION; }

gemma_code gemma_open(const gemma_options *options, gemma_model **model,
                      gemma_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return is_null("model");
    *model = nullptr;
    Settings settings;
    if (Status s = settings_of(options, settings); !s.ok())
      return s;
    auto made = std::make_unique<gemma_model>();
    made->model = std::make_shared<Model>();
    if (Status s = made->model->open(settings); !s.ok())
      return s;
    *model = made.release();
    return {};
  });
}

void gemma_close(gemma_model *model) { delete model; }

const char *gemma_info(const gemma_model *model) {
  return model ? model->model->info.c_str() : nullptr;
}

gemma_code gemma_encode(const gemma_model *model, const char *text,
                        size_t bytes, int32_t flags, int32_t *ids,
                        size_t *count, gemma_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model || !text || !count)
      return is_null(!model ? "model" : !text ? "text" : "count");
    const Program &program = model->model->program;
    if (Status s = program.need_tokenizer(); !s.ok())
      return s;
    const std::string_view given(text, bytes);
    if (Status s = check_utf8("text", given); !s.ok())
      return s;
    std::vector<int32_t> all;
    program.tokenizer.encode(given, flags & GEMMA_CONTROL, all);
    const int32_t bos = program.tokenizer.named(GM_TOK_BOS);
    if (flags & GEMMA_BOS && bos >= 0 && (all.empty() || all[0] != bos))
      all.insert(all.begin(), bos);
    give_some(all.data(), all.size(), ids, count);
    return {};
  });
}

gemma_code gemma_decode(const gemma_model *model, const int32_t *ids,
                        size_t count, int32_t flags, char *text, size_t *bytes,
                        gemma_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model || (!ids && count) || !bytes)
      return is_null(!model ? "model" : !bytes ? "bytes" : "ids");
    const Program &program = model->model->program;
    if (Status s = program.need_tokenizer(); !s.ok())
      return s;
    if (Status s = check_ids(*model->model, ids, count); !s.ok())
      return s;
    // Ids that the model has and the tokenizer has not are no text.
    std::vector<int32_t> known(ids, ids + count);
    std::erase_if(known, [&](int32_t id) {
      return id >= int32_t(program.tokenizer.vocab());
    });
    const std::string all = program.tokenizer.decode(known.data(), known.size(),
                                                     flags & GEMMA_CONTROL);
    const size_t room = *bytes;
    give_some(all.data(), all.size(), text, bytes);
    if (text && all.size() < room)
      text[all.size()] = 0;
    return {};
  });
}

gemma_code gemma_render(const gemma_model *model, const char *chat,
                        int32_t *ids, size_t *count, gemma_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model || !chat || !count)
      return is_null(!model ? "model" : !chat ? "chat" : "count");
    ChatPrompt prompt;
    if (Status s = read_prompt(*model->model, chat, prompt); !s.ok())
      return s;
    const std::vector<int32_t> &all = prompt.ids;
    give_some(all.data(), all.size(), ids, count);
    return {};
  });
}

gemma_code gemma_defaults(const gemma_model *model, gemma_request *request,
                          gemma_error *error) {
  return guarded(error, [&]() -> Status {
    if (!model)
      return is_null("model");
    return give_struct("request", defaults_of(*model->model), request);
  });
}

gemma_code gemma_start(gemma_model *model, const gemma_request *request,
                       gemma_generation **generation, gemma_error *error) {
  return guarded(error, [&]() -> Status {
    if (!generation)
      return is_null("generation");
    *generation = nullptr;
    if (!model)
      return is_null("model");
    const std::shared_ptr<Model> held = model->model;
    gemma_request full = defaults_of(*held);
    if (Status s = take_struct("request", request, full); !s.ok())
      return s;
    ChatRequest read;
    if (Status s = read_request(*held, full, read); !s.ok())
      return s;
    auto made = std::make_unique<gemma_generation>();
    made->model = held;
    made->stream = std::make_shared<Stream>();
    Sequence sequence = read.generation.sequence(read.prompt.items, 0);
    sequence.listener = listen(*held->context, read.generation,
                               read.prompt.reading, made->stream);
    if (Status s = held->scheduler->submit(std::move(sequence), made->number);
        !s.ok())
      return s;
    *generation = made.release();
    return {};
  });
}

gemma_code gemma_next(gemma_generation *generation, int64_t milliseconds,
                      gemma_piece *piece, gemma_error *error) {
  return guarded(error, [&]() -> Status {
    if (!generation || !piece)
      return is_null(!generation ? "generation" : "piece");
    gemma_piece out = {};
    if (Status s = give_struct("piece", out, piece); !s.ok())
      return s;
    Piece &held = generation->piece;
    const bool came = generation->stream->next(milliseconds, held);
    if (!came)
      held = {};
    const Stream::End end =
        held.kind == GEMMA_END ? generation->stream->ending() : Stream::End();
    out.kind = held.kind;
    out.call = int32_t(held.call);
    out.text = held.text.c_str();
    out.bytes = held.text.size();
    out.ids = held.ids.data();
    out.id_count = held.ids.size();
    out.finish = end.finish;
    if (Status s = give_struct("piece", out, piece); !s.ok())
      return s;
    return end.status;
  });
}

gemma_code gemma_usage_of(const gemma_generation *generation,
                          gemma_usage *usage, gemma_error *error) {
  return guarded(error, [&]() -> Status {
    if (!generation)
      return is_null("generation");
    const Usage u = generation->stream->ending().usage;
    return give_struct("usage",
                       gemma_usage{0, u.prompt, u.cached, u.generated,
                                   u.waited_ns, u.prompt_ns, u.generate_ns},
                       usage);
  });
}

void gemma_cancel(gemma_generation *generation) {
  guarded(nullptr, [&]() -> Status {
    if (generation)
      if (const std::shared_ptr<Model> model = generation->model.lock())
        model->scheduler->cancel(generation->number);
    return {};
  });
}

void gemma_end(gemma_generation *generation) {
  gemma_cancel(generation);
  delete generation;
}

} // extern "C"
