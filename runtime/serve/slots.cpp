// See slots.h.
#include "runtime/serve/slots.h"

#include <algorithm>
#include <charconv>
#include <sys/stat.h>

namespace gm {

namespace {

MaybeError check_allowed(const Context &context) {
  if (!context.settings.slot_folder.empty())
    return {};
  return ApiError(501, "slots are shown and saved with --slot-save-path DIR "
                       "only");
}

// A file of the folder; nothing that leads out of it.
MaybeError find_file(const Context &context, const HttpRequest &request,
                     std::string &path) {
  Tree root;
  if (MaybeError e = read_object(request, root))
    return e;
  Fields fields(root);
  std::string name;
  fields.text("filename", name);
  if (MaybeError e = error_of(fields))
    return e;
  const bool plain = !name.empty() && name.size() <= 200 && name[0] != '.' &&
                     name.find_first_of("/\\") == name.npos &&
                     std::none_of(name.begin(), name.end(), [](char c) {
                       return (unsigned char)c < ' ' || c == 127;
                     });
  if (!plain)
    return ApiError(400,
                    "'filename' expects the name of a file in the folder of "
                    "--slot-save-path: up to 200 bytes, none of them a "
                    "slash, the first no dot",
                    "filename");
  path = context.settings.slot_folder + "/" + name;
  struct stat st;
  if (!lstat(path.c_str(), &st) && !S_ISREG(st.st_mode))
    return ApiError(400, "'" + name + "' is no plain file", "filename");
  return {};
}

double ms(int64_t ns) { return double(ns / 1000) / 1000; }

Tree tree_of(SlotTask what, int32_t slot, const std::string &name,
             const SlotDone &done) {
  switch (what) {
  case SlotTask::Save:
    return {{"id_slot", slot},
            {"filename", name},
            {"n_saved", done.tokens},
            {"n_written", done.bytes},
            {"timings", {{"save_ms", ms(done.ns)}}}};
  case SlotTask::Restore:
    return {{"id_slot", slot},
            {"filename", name},
            {"n_restored", done.tokens},
            {"n_read", done.bytes},
            {"timings", {{"restore_ms", ms(done.ns)}}}};
  case SlotTask::Erase:
    return {{"id_slot", slot}, {"n_erased", done.tokens}};
  }
  return {};
}

ApiError error_of(const Status &s) {
  return s.code == UNSUPPORTED ? ApiError(501, s.text)
         : s.code == USAGE     ? ApiError(404, s.text)
                               : ApiError(s);
}

} // namespace

MaybeError slots(Context &context, HttpRequest &, Page &page) {
  if (MaybeError e = check_allowed(context))
    return e;
  Tree out = Tree::array();
  for (const SlotStats &slot : context.scheduler.slots())
    out.push_back({{"id", out.size()},
                   {"id_task", slot.number ? slot.number : -1},
                   {"n_ctx", context.program.plan.context},
                   {"speculative", false},
                   {"is_processing", slot.number != 0},
                   {"n_held", slot.held},
                   {"n_prompt_tokens", slot.prompt},
                   {"n_decoded", slot.generated}});
  page = {"application/json", dump(out)};
  return {};
}

MaybeError slot_task(Context &context, HttpRequest &request,
                     const std::shared_ptr<HttpReply> &reply) {
  if (MaybeError e = check_allowed(context))
    return e;
  const std::string number = request.path.substr(sizeof "/slots/" - 1);
  int32_t slot = -1;
  const char *end = number.data() + number.size();
  if (std::from_chars(number.data(), end, slot).ptr != end || slot < 0)
    return ApiError(404, "there is no slot '" + number.substr(0, 40) + "'");
  const std::pair<const char *, SlotTask> actions[] = {
      {"action=save", SlotTask::Save},
      {"action=restore", SlotTask::Restore},
      {"action=erase", SlotTask::Erase}};
  for (const auto &[query, what] : actions) {
    if (request.query != query)
      continue;
    std::string path;
    if (what != SlotTask::Erase)
      if (MaybeError e = find_file(context, request, path))
        return e;
    const std::string name = path.substr(path.rfind('/') + 1);
    auto done = [reply, what = what, slot, name,
                 &context](const SlotDone &result) {
      if (result.status.ok())
        return reply->send(200, "application/json",
                           dump(tree_of(what, slot, name, result)));
      ++context.counters.errors;
      const ApiError error = error_of(result.status);
      if (error.status == 503)
        reply->add({{"retry-after", "1"}});
      reply->send(error.status, "application/json", dump(error.tree()));
    };
    auto wanted = [reply] { return !reply->left(); };
    if (Status s = context.scheduler.submit(what, slot, path, done, wanted);
        !s.ok())
      return error_of(s);
    return {};
  }
  return ApiError(400, "a slot expects ?action=save, restore or erase");
}

} // namespace gm
