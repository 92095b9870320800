// The small texts of HTTP: reasons, heads of answers, ids, hosts. Knows no
// sockets and no requests.
#pragma once

#include "runtime/serve/http.h"

#include <string>
#include <string_view>

namespace gm {

// "Not Found" of 404.
const char *reason_of(int status);
// `count` random hexadecimal digits.
std::string random_hex(size_t count);
// The client's own request id, or a new one if it is none to print.
std::string request_id(std::string_view given);
// The token of an Authorization header with the scheme Bearer; empty: none.
std::string bearer(std::string_view authorization);
// "application/json" of "Application/JSON; charset=utf-8".
std::string media_type(std::string_view content_type);
// The head of an answer. `length` < 0: it comes in chunks, or, without
// `chunks`, up to the end of the connection.
std::string answer_head(int status, const std::string &type, int64_t length,
                        bool chunks, bool keep, const std::string &id,
                        const HttpHeaders &more);
// Appends a chunk, which is not empty.
void append_chunk(std::string_view piece, std::string &out);
// With the bytes that %XX stand for; what is no such thing stays.
std::string percent_decoded(std::string_view text);
// The host of a Host header or of an Origin, without port and brackets.
std::string_view host_of(std::string_view authority);
// Whether a browser may call this host without DNS having a say: an address or
// localhost.
bool is_literal(std::string_view host);
// The same time for any two keys of these lengths.
bool same_key(std::string_view a, std::string_view b);

} // namespace gm
