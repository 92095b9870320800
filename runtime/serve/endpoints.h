// The endpoints that generate nothing: models, health, metrics, props, and
// texts as ids. Each gives its answer, or why there is none.
#pragma once

#include "runtime/serve/context.h"

namespace gm {

struct Page {
  std::string type, body;
  HttpHeaders headers = {};
};

MaybeError home(Context &, HttpRequest &, Page &);
MaybeError description(Context &, HttpRequest &, Page &);
MaybeError models(Context &, HttpRequest &, Page &);
MaybeError model(Context &, HttpRequest &, Page &);
MaybeError health(Context &, HttpRequest &, Page &);
MaybeError metrics(Context &, HttpRequest &, Page &);
MaybeError props(Context &, HttpRequest &, Page &);
MaybeError tokenize(Context &, HttpRequest &, Page &);
MaybeError detokenize(Context &, HttpRequest &, Page &);
MaybeError apply_template(Context &, HttpRequest &, Page &);

} // namespace gm
