// See api.h.
#include "runtime/serve/api.h"
#include "runtime/serve/anthropic.h"
#include "runtime/serve/endpoints.h"
#include "runtime/serve/http_text.h"
#include "runtime/serve/llama_completion.h"
#include "runtime/serve/openai.h"
#include "runtime/serve/responses.h"
#include "runtime/serve/slots.h"

#include <algorithm>

namespace gm {
namespace {

using Reply = std::shared_ptr<HttpReply>;

struct Route {
  const char *method, *path; // a path that ends in a slash has a name behind it
  MaybeError (*page)(Context &, HttpRequest &, Page &) = nullptr;
  MaybeError (*stream)(Context &, HttpRequest &, const Reply &) = nullptr;
};

const Route routes[] = {
    {"GET", "/", home},
    {"GET", "/health", health},
    {"GET", "/v1/health", health},
    {"GET", "/openapi.json", description},
    {"GET", "/metrics", metrics},
    {"GET", "/props", props},
    {"GET", "/slots", slots},
    {"POST", "/slots/", nullptr, slot_task},
    {"GET", "/models", models},
    {"GET", "/v1/models", models},
    {"GET", "/v1/models/", model},
    {"POST", "/tokenize", tokenize},
    {"POST", "/detokenize", detokenize},
    {"POST", "/apply-template", apply_template},
    {"POST", "/chat/completions", nullptr, chat_completions},
    {"POST", "/v1/chat/completions", nullptr, chat_completions},
    {"POST", "/v1/completions", nullptr, text_completions},
    {"POST", "/completion", nullptr, llama_completion},
    {"POST", "/completions", nullptr, llama_completion},
    {"POST", "/v1/responses", nullptr, responses},
    {"POST", "/v1/responses/input_tokens", response_tokens},
    {"POST", "/v1/messages", nullptr, messages},
    {"POST", "/v1/messages/count_tokens", count_tokens},
};

bool matches(const Route &route, const std::string &path) {
  const std::string_view own = route.path;
  return own.size() > 1 && own.back() == '/'
             ? path.size() > own.size() && path.starts_with(own)
             : path == own;
}

// Of every answer to an origin that is let in.
HttpHeaders cors_headers(const Context &context, const HttpRequest &request) {
  const auto &allowed = context.settings.cors;
  if (!allowed || request.origin.empty() ||
      (*allowed != "*" && *allowed != request.origin))
    return {};
  return {{"access-control-allow-origin", *allowed},
          {"access-control-expose-headers", "x-request-id"},
          {"vary", "origin"}};
}

// Browsers are kept from what other pages ask in their user's name: a page's
// own requests come from the origin that it was loaded from.
MaybeError check_origin(const Context &context, const HttpRequest &request) {
  const ServeSettings &s = context.settings;
  // With a name of its own making a page would be at home here.
  if (s.keys.empty() && s.loopback && !request.host.empty() &&
      !is_literal(host_of(request.host)))
    return ApiError(403, "the host '" + request.host.substr(0, 100) +
                             "' is no address and not localhost; a server "
                             "behind another name needs --api-key");
  if (request.origin.empty() || s.cors == "*" || s.cors == request.origin ||
      request.origin == "http://" + request.host)
    return {};
  return ApiError(403, "requests of pages from '" +
                           request.origin.substr(0, 100) +
                           "' are closed; --cors opens them");
}

MaybeError check_key(const Context &context, const HttpRequest &request) {
  const auto &keys = context.settings.keys;
  const bool open = request.path == "/" || request.path == "/health" ||
                    request.path == "/v1/health";
  if (keys.empty() || open)
    return {};
  bool known = false; // all are compared, whatever the first says
  for (const std::string &key : keys)
    known |= same_key(key, request.key);
  if (known)
    return {};
  return ApiError(401,
                  request.key.empty()
                      ? "an API key is needed: 'Authorization: Bearer KEY' or "
                        "'x-api-key: KEY'"
                      : "the API key is wrong",
                  "", "invalid_api_key");
}

bool is_json(const std::string &type) {
  return type == "application/json" ||
         (type.starts_with("application/") && type.ends_with("+json"));
}

void preflight(const Context &context, const HttpRequest &request,
               const Reply &reply) {
  HttpHeaders headers;
  if (!cors_headers(context, request).empty()) {
    headers.push_back({"access-control-allow-methods", "GET, POST, OPTIONS"});
    headers.push_back({"access-control-allow-headers",
                       "authorization, content-type, x-api-key, x-request-id, "
                       "anthropic-version, anthropic-beta"});
    headers.push_back({"access-control-max-age", "86400"});
  }
  reply->add(std::move(headers));
  reply->send(204, "", "");
}

MaybeError dispatch(Context &context, HttpRequest &request,
                    const Reply &reply) {
  if (MaybeError e = check_origin(context, request))
    return e;
  if (request.method == "OPTIONS")
    return preflight(context, request, reply), MaybeError();
  if (MaybeError e = check_key(context, request))
    return e;
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  std::string others;
  for (const Route &route : routes) {
    if (!matches(route, request.path))
      continue;
    if (method != route.method) {
      others = route.method;
      continue;
    }
    const bool empty = request.type.empty() && request.body.empty();
    if (method == "POST" && !empty && !is_json(request.type))
      return ApiError(415, "expects content-type application/json, got " +
                               (request.type.empty()
                                    ? "none"
                                    : "'" + request.type.substr(0, 100) + "'"));
    if (!route.page)
      return route.stream(context, request, reply);
    Page page;
    if (MaybeError e = route.page(context, request, page))
      return e;
    reply->add(std::move(page.headers));
    reply->send(200, page.type, std::move(page.body));
    return {};
  }
  if (!others.empty()) {
    reply->add({{"allow", others == "GET" ? "GET, HEAD" : others}});
    return ApiError(405, "'" + request.path.substr(0, 100) + "' expects " +
                             others + ", got " + request.method.substr(0, 20));
  }
  return ApiError(404, "there is no '" + request.path.substr(0, 100) + "' here",
                  "", "not_found");
}

} // namespace

std::string error_body(int status, const std::string &why) {
  return dump(ApiError(status, why).tree());
}

void answer(Context &context, HttpRequest request, const Reply &reply) {
  ++context.counters.requests;
  MaybeError error;
  try {
    reply->add(cors_headers(context, request));
    error = dispatch(context, request, reply);
  } catch (const std::bad_alloc &) {
    error = ApiError(503, "no memory left for the request");
  } catch (const std::exception &e) {
    error = ApiError(500, std::string("internal error: ") + e.what());
  }
  if (!error)
    return;
  ++context.counters.errors;
  if (error->status == 401)
    reply->add({{"www-authenticate", "Bearer"}});
  if (error->status == 503)
    reply->add({{"retry-after", "1"}});
  reply->send(error->status, "application/json", dump(error->tree()));
}

} // namespace gm
