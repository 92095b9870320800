// Boost's Asio and Beast as the server uses them: headers alone, no coroutines.
#pragma once

#define BOOST_ERROR_CODE_HEADER_ONLY
#define BOOST_ASIO_DISABLE_CO_AWAIT 1
#pragma GCC system_header
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

namespace gm {
namespace asio = boost::asio;
namespace beast = boost::beast;
} // namespace gm
