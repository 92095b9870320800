// `PROGRAM serve`: an HTTP server with OpenAI's and Anthropic's APIs until a
// signal ends it.
#include "runtime/app/commands.h"
#include "runtime/app/sampling_flags.h"
#include "runtime/app/text_input.h"
#include "runtime/manifest_generated.h"
#include "runtime/serve/api.h"
#include "runtime/serve/demand.h"
#include "runtime/serve/sandbox.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace gm {
namespace {

// More are of no use, and are looked through for every prompt.
constexpr int64_t kMostStates = 64;

struct Request {
  Options machine;
  HttpServer::Settings http;
  ServeSettings serve;
  std::optional<std::string> alias, key, key_file, slot_folder;
  int64_t parallel = 1, queue = 256, body_mb = 32, cache_mb = 256;
  ServedMediaSettings media;
  int64_t media_mb = 128;
  bool log_json = false, no_sandbox = false;

  Syntax syntax();
  Status check();
  Status read_keys();
  int64_t request_bytes() const;
};

Syntax Request::syntax() {
  HttpLimits &limits = http.limits;
  Syntax s = {
      "serve",
      "Answers HTTP requests as OpenAI's and Anthropic's APIs have them, and "
      "shows a page to\ntalk at /, until Ctrl-C or SIGTERM; then what is under "
      "way is answered first.",
      {},
      {}};
  s.flags = {
      {"--host", "", "ADDRESS",
       "where to listen; all but this machine's own addresses need an API key "
       "(default: 127.0.0.1)",
       &http.host},
      {"--port", "", "N", "0 = any that is free (default: 8080)", &http.port, 0,
       65535},
      {"--parallel", "", "N",
       "sequences computed at a time, each with a context of its own (default: "
       "1)",
       &parallel, 1, 256},
      {"--queue", "", "N",
       "sequences that may wait for their turn (default: "
       "256)",
       &queue, 0, 1 << 16},
      {"--cache-ram", "", "MB",
       "for beginnings of prompts that others share, such as instructions and "
       "tools: states of sliding layers that are kept, part of the memory plan "
       "(default: 256)",
       &cache_mb, 0, 1 << 20},
      {"--no-media", "", "",
       "keep no room for pictures and sounds: requests with some are refused "
       "('info --images 1 --audios 1' shows what the room takes)",
       &media.none},
      {"--media-ram", "", "MB",
       "for pictures and sounds of requests that wait, and of earlier ones: "
       "what is known is not decoded again (default: 128)",
       &media_mb, 1, 1 << 20},
      image_tokens_flag(media.style.image_tokens),
      image_pixels_flag(media.style.image_pixels),
      // For tests: so many rows of media have numbers of their own.
      {"--test-media-rows", "", "N", "", &media.numbers, 1, INT32_MAX, true},
      {"--alias", "", "NAME", "the model's name in answers", &alias},
      {"--api-key", "", "KEY",
       "let in who knows it; other users of this machine see it in the command "
       "line, so rather",
       &key},
      {"--api-key-file", "", "FILE", "keys, one a line", &key_file},
      {"--cors", "", "ORIGIN",
       "let pages of this origin, or * for all, ask too (default: none)",
       &serve.cors},
      {"--metrics", "", "", "answer /metrics in Prometheus' format",
       &serve.metrics},
      {"--log-json", "", "",
       "a line of JSON on standard error for every request, without what it "
       "says",
       &log_json},
      {"--max-body", "", "MB", "of a request (default: 32)", &body_mb, 1, 1024},
      {"--max-connections", "", "N", "open at a time (default: 256)",
       &limits.connections, 1, 1 << 16},
      {"--timeout", "", "SECONDS",
       "for a client to send a header, and to take the next byte of an answer; "
       "a body has a second more for every 64 KiB (default: 30)",
       &limits.seconds, 0.1, 86400},
      {"--slot-save-path", "", "DIR",
       "show /slots, and let requests save the states of slots in files of "
       "this "
       "folder and restore them",
       &slot_folder},
      {"--no-sandbox", "", "",
       "do not give up the rights to start programs, open connections and "
       "write files",
       &no_sandbox},
      {"--drain", "", "SECONDS",
       "for what is under way when a signal comes (default: 30)",
       &limits.drain_seconds, 0, 86400},
  };
  for (Flag &each : machine_flags(machine))
    s.flags.push_back(std::move(each));
  return s;
}

Status Request::read_keys() {
  if (key && key->empty())
    return failure(USAGE, "--api-key expects a key, got nothing");
  if (key)
    serve.keys.push_back(*key);
  if (!key_file)
    return {};
  std::string text;
  if (Status s = read_input(*key_file, text, {1 << 20, 0}); !s.ok())
    return s;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' '))
      line.pop_back();
    if (!line.empty())
      serve.keys.push_back(line);
    at = end + 1;
  }
  if (serve.keys.empty())
    return failure(BAD_INPUT, "%.200s holds no API key", key_file->c_str());
  return {};
}

Status Request::check() {
  if (Status s = read_keys(); !s.ok())
    return s;
  if (Status s = check_host(http.host); !s.ok())
    return s;
  serve.loopback = is_loopback(http.host);
  if (!serve.loopback && serve.keys.empty())
    return failure(USAGE,
                   "--host %.100s lets other machines in, so it needs "
                   "--api-key-file FILE or --api-key KEY",
                   http.host.c_str());
  http.limits.body_bytes = body_mb << 20;
  http.limits.bodies_bytes = std::max<int64_t>(128, body_mb) << 20;
  serve.parallel = parallel;
  serve.queue = queue;
  media.bytes = media_mb << 20;
  if (!slot_folder)
    return {};
  char *full = realpath(slot_folder->c_str(), nullptr);
  if (!full)
    return failure(USAGE, "--slot-save-path '%.200s': %s", slot_folder->c_str(),
                   strerror(errno));
  serve.slot_folder = full;
  free(full);
  return {};
}

// As many states as `bytes` hold.
Status fit_checkpoints(const Program &program, int64_t bytes,
                       Options &options) {
  Plan without, with;
  if (Status s = make_plan(program.file, options, without); !s.ok())
    return s;
  options.checkpoints = 1;
  if (Status s = make_plan(program.file, options, with); !s.ok())
    return s;
  auto sum = [](const Plan &plan) { return plan.total + plan.device; };
  const auto each = std::max<int64_t>(1, int64_t(sum(with) - sum(without)));
  options.checkpoints = std::min(bytes / each, kMostStates);
  return {};
}

// The most that clients make the server hold, beside what the engine has.
int64_t Request::request_bytes() const {
  const HttpLimits &limits = http.limits;
  // While a body is read: its tree, that of OpenAI's form and its text, its
  // conversation, and the bytes of a medium in two steps.
  const int64_t reading = JsonLimits().values * 256 + 6 * limits.body_bytes;
  // Of what waits: prompts of at most 8 bytes a token.
  const int64_t context = machine.context ? machine.context : 8192;
  return limits.bodies_bytes + http.workers * reading +
         limits.connections * (limits.header_bytes + (64 << 10)) +
         (queue + parallel) * context * 8 + (64 << 20);
}

void log_record(const HttpRecord &r) {
  const Tree line = {{"time", now_seconds()},
                     {"id", r.id},
                     {"method", r.method},
                     {"path", r.path},
                     {"status", r.status},
                     {"ms", double(r.ns / 1000) / 1000},
                     {"received", r.received_bytes},
                     {"sent", r.sent_bytes},
                     {"left", r.left}};
  fprintf(stderr, "%s\n", dump(line).c_str());
}

Status serve(Request &request) {
  if (Status s = request.check(); !s.ok())
    return s;
  Program program;
  if (Status s = program.open(); !s.ok())
    return s;
  if (Status s = program.need_tokenizer(); !s.ok())
    return s;
  request.serve.sampling = SamplingFlags().resolve(program);
  request.serve.alias =
      request.alias.value_or(program.manifest().model()->name()->str());

  // What listens is found out before minutes go into loading.
  std::unique_ptr<ServedMedia> media;
  std::unique_ptr<Context> context;
  HttpServer::Settings &http = request.http;
  http.error = error_body;
  http.ends = interrupted;
  if (request.log_json)
    http.log = log_record;
  http.handler = [&context](HttpRequest r,
                            const std::shared_ptr<HttpReply> &reply) {
    answer(*context, std::move(r), reply);
  };
  HttpServer server(http);
  watch_signals();
  if (Status s = server.listen(); !s.ok())
    return s;

  // Before there are threads, and with all files open.
  if (!request.no_sandbox) {
    std::string shut;
    if (Status s =
            enter_sandbox({request.serve.slot_folder, has_device()}, shut);
        !s.ok())
      return s;
    fprintf(stderr, "sandbox: %s\n", shut.c_str());
  }
  Options &options = request.machine;
  options.slots = request.parallel;
  options.request_bytes = request.request_bytes();
  const bool shut = request.media.none;
  if (Status s = ServedMedia::reserve(program, request.media, options); !s.ok())
    return s;
  if (request.media.none && !shut)
    fputs("note: there is no memory for pictures and sounds; a smaller -c, "
          "--parallel or --image-pixels may leave some\n",
          stderr);
  prepare_for_scheduler(options);
  if (Status s = fit_checkpoints(program, request.cache_mb << 20, options);
      !s.ok())
    return s;
  if (Status s = program.start(options); !s.ok())
    return s;
  Grammars grammars(program);
  Scheduler scheduler(program, request.queue);
  media = std::make_unique<ServedMedia>(program, scheduler, request.media);
  context = std::make_unique<Context>(program, scheduler, grammars, *media,
                                      request.serve);
  fprintf(stderr, "memory: at most %.0f MiB\n",
          double(program.plan.total) / (1 << 20));
  fprintf(stderr, "listening on %s\n", server.url().c_str());
  if (!server.run())
    fprintf(stderr, "warning: some answers were cut off\n");
  return {};
}

} // namespace

int serve_main(const Invocation &call) { return run_command(call, serve); }

} // namespace gm
