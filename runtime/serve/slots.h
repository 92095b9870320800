// /slots: what the slots hold, and their states in files of the one folder that
// the server may write to, as llama.cpp's server has it.
#pragma once

#include "runtime/serve/context.h"
#include "runtime/serve/endpoints.h"

namespace gm {

MaybeError slots(Context &, HttpRequest &, Page &);
// /slots/N?action=save, restore or erase.
MaybeError slot_task(Context &, HttpRequest &,
                     const std::shared_ptr<HttpReply> &);

} // namespace gm
