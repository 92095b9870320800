// See model.h.
#include "runtime/lib/model.h"
#include "runtime/abi.h"
#include "runtime/app/sampling_flags.h"
#include "runtime/file.h"
#include "runtime/manifest_generated.h"

#include <csignal>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>

// Of the object beside the code: empty in a shared library.
extern "C" const gm_embedded gm_sections;

namespace gm::lib {
namespace {

// The file that this code was loaded from. The folder is the one that the
// loader has kept, since a name may be relative to a folder that is no longer
// current.
Status own_path(std::string &out) {
  Dl_info info;
  link_map *map = nullptr;
  if (!dladdr1(&gm_sections, &info, reinterpret_cast<void **>(&map),
               RTLD_DL_LINKMAP) ||
      !map || !info.dli_fname)
    return failure(RESOURCES, "cannot find the library's own file; give it as "
                              "gemma_options.path");
  out = info.dli_fname;
  char folder[4096];
  if (out[0] != '/' && dlinfo(map, RTLD_DI_ORIGIN, folder) == 0)
    out = std::string(folder) + "/" + out.substr(out.rfind('/') + 1);
  return {};
}

// No signal of the process is handled on a thread of ours, whose stack is
// small.
class BlockedSignals {
public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    for (int fault : {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP})
      sigdelset(&all, fault);
    pthread_sigmask(SIG_BLOCK, &all, &before);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  BlockedSignals(const BlockedSignals &) = delete;

private:
  sigset_t before;
};

std::string text(const flatbuffers::String *s) { return s ? s->str() : ""; }

} // namespace

bool Model::chats() const {
  return program.has_tokenizer() &&
         program.manifest().chat() != gemmac::manifest::Chat_None;
}

Status Model::open(const Settings &settings) {
  std::string path = settings.path ? settings.path : "";
  if (path.empty() && !gm_sections.bytes)
    if (Status s = own_path(path); !s.ok())
      return s;
  if (Status s = program.open_library({gm_sections.data, gm_sections.bytes},
                                      path.empty() ? nullptr : path.c_str());
      !s.ok())
    return s;
  Options options = settings.machine;
  ServedMediaSettings media_settings;
  media_settings.bytes = settings.media_bytes;
  media_settings.none = !settings.media_bytes;
  if (Status s = ServedMedia::reserve(program, media_settings, options);
      !s.ok())
    return s;
  if (settings.media_bytes && media_settings.none)
    return failure(RESOURCES,
                   "there is no memory for pictures and sounds; fewer slots, a "
                   "smaller context or media_bytes 0 may do");
  prepare_for_scheduler(options);
  BlockedSignals blocked;
  if (Status s = program.start(options); !s.ok())
    return s;
  grammars = std::make_unique<Grammars>(program);
  scheduler = std::make_unique<Scheduler>(program, settings.queue);
  ServeSettings serve;
  serve.parallel = program.plan.slots;
  serve.sampling = SamplingFlags().resolve(program);
  media = std::make_unique<ServedMedia>(program, *scheduler, media_settings);
  context =
      std::make_unique<Context>(program, *scheduler, *grammars, *media, serve);

  const gemmac::manifest::Program &p = program.manifest();
  const Plan &plan = program.plan;
  info = dump(Tree{{"name", text(p.model()->name())},
                   {"target", text(p.target()->name())},
                   {"compiler", text(p.compiler())},
                   {"vocab", program.vocab()},
                   {"max_context", program.max_context()},
                   {"context", plan.context},
                   {"slots", plan.slots},
                   {"threads", plan.threads},
                   {"batch", settings.machine.batch},
                   {"memory", plan.total},
                   {"chat", chats()},
                   {"vision", media->takes(Medium::Picture)},
                   {"audio", media->takes(Medium::Sound)}});
  return {};
}

} // namespace gm::lib
