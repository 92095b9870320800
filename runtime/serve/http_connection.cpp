// See http_connection.h.
#include "runtime/serve/http_connection.h"
#include "runtime/host/clock.h"
#include "runtime/serve/http_text.h"

#include <sys/socket.h>

namespace gm {

using Error = boost::system::error_code;
namespace bh = boost::beast::http;

namespace {

constexpr double kSecond = 1e9, kBodyRate = 64 << 10; // ns; bytes a second
// What is read and thrown away behind the answer to a request that was refused
// before its end, so that the client gets to read the answer.
constexpr double kLingerSeconds = 2;

std::string text_of(boost::beast::string_view view) {
  return {view.data(), view.size()};
}

// The handler's end of an exchange.
class Reply final : public HttpReply {
public:
  Reply(std::shared_ptr<Connection> connection,
        std::shared_ptr<Exchange> exchange)
      : connection(std::move(connection)), exchange(std::move(exchange)) {}

  ~Reply() override {
    if (done)
      return;
    try {
      if (begun)
        post([](Connection &c, auto &e) { c.abandon(e); });
      else
        send(500, "application/json",
             connection->shared.settings.error(500, "internal error"));
    } catch (...) {
      // The client's deadline ends it.
    }
  }

  void add(HttpHeaders more) override {
    headers.insert(headers.end(), more.begin(), more.end());
  }
  void send(int status, std::string type, std::string body) override {
    begun = done = true;
    post([status, type = std::move(type), body = std::move(body),
          headers = std::move(headers)](Connection &c, auto &e) {
      c.begin(e, status, type, int64_t(body.size()), headers);
      c.write(e, body);
      c.end(e);
    });
  }

  void begin(int status, std::string type) override {
    begun = true;
    post([status, type = std::move(type),
          headers = std::move(headers)](Connection &c, auto &e) {
      c.begin(e, status, type, -1, headers);
    });
  }
  void write(std::string piece) override {
    post([piece = std::move(piece)](Connection &c, auto &e) {
      c.write(e, piece);
    });
  }
  void end() override {
    done = true;
    post([](Connection &c, auto &e) { c.end(e); });
  }
  void when_left(std::function<void()> call) override {
    post([call = std::move(call)](Connection &, auto &e) {
      if (e->left)
        call();
      else if (!e->ended)
        e->when_left = call;
    });
  }
  bool left() const override { return exchange->left; }

private:
  template <typename Do>
  void post(Do what) {
    asio::post(connection->shared.io,
               [c = connection, e = exchange, what = std::move(what)] {
                 what(*c, e);
               });
  }

  const std::shared_ptr<Connection> connection;
  const std::shared_ptr<Exchange> exchange;
  HttpHeaders headers;
  bool begun = false, done = false;
};

} // namespace

Connection::Connection(HttpShared &shared, asio::ip::tcp::socket socket)
    : shared(shared), socket(std::move(socket)),
      buffer(size_t(shared.settings.limits.header_bytes) + 65536) {
  ++shared.open;
}

Connection::~Connection() {
  if (exchange)
    shared.body_bytes -= exchange->body_bytes;
  shared.open -= state != Closed;
}

template <typename Then>
auto Connection::guarded(Then then) {
  return [self = shared_from_this(), then = std::move(then)](const Error &error,
                                                             size_t bytes = 0) {
    if (self->state == Closed)
      return;
    try {
      then(error, bytes);
    } catch (...) {
      self->close();
    }
  };
}

void Connection::set_state(State next, double seconds) {
  state = next;
  since = now_ns();
  deadline = since + int64_t(seconds * kSecond);
}

void Connection::start() {
  Error ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.non_blocking(true, ignored);
  await_request();
}

//===- reading ------------------------------------------------------------===//

void Connection::await_request() {
  const HttpLimits &limits = shared.settings.limits;
  if (exchange)
    shared.body_bytes -= exchange->body_bytes;
  exchange.reset();
  parser.emplace();
  parser->header_limit(uint32_t(limits.header_bytes));
  parser->body_limit(uint64_t(limits.body_bytes));
  if (buffer.size())
    return read_head();
  set_state(Idle, limits.idle_seconds);
  socket.async_wait(asio::socket_base::wait_read,
                    guarded([this](const Error &error, size_t) {
                      error ? close() : read_head();
                    }));
}

void Connection::read_head() {
  set_state(Head, shared.settings.limits.seconds);
  bh::async_read_header(socket, buffer, *parser,
                        guarded([this](const Error &error, size_t) {
                          error ? fail(error) : take_head();
                        }));
}

void Connection::fail(const Error &error) {
  if (error == bh::error::header_limit || error == bh::error::buffer_overflow)
    return refuse(431, "the header has more than " +
                           std::to_string(shared.settings.limits.header_bytes) +
                           " bytes");
  if (error == bh::error::body_limit)
    return refuse(413, "the body has more than " +
                           std::to_string(shared.settings.limits.body_bytes) +
                           " bytes");
  if (error == bh::error::end_of_stream ||
      error == bh::error::partial_message ||
      error.category() != bh::make_error_code(bh::error::bad_method).category())
    return close();
  refuse(400, "this is no HTTP request: " + error.message());
}

bool Connection::reserve(int64_t bytes) {
  if (shared.body_bytes + bytes > shared.settings.limits.bodies_bytes) {
    refuse(503, "other requests hold the memory for bodies, try again");
    return false;
  }
  shared.body_bytes += bytes;
  exchange->body_bytes += bytes;
  return true;
}

void Connection::take_head() {
  exchange = std::make_shared<Exchange>();
  const auto &request = parser->get();
  exchange->received = since;
  exchange->keep = parser->keep_alive();
  exchange->chunks = request.version() >= 11;
  exchange->head_only = request.method() == bh::verb::head;
  exchange->record.id = request_id(text_of(request["x-request-id"]));
  exchange->record.method = text_of(request.method_string());
  const std::string target = text_of(request.target());
  exchange->record.path = target.substr(0, target.find('?'));
  const auto length = parser->content_length();
  if (length && !reserve(int64_t(*length)))
    return;
  const double seconds = shared.settings.limits.seconds;
  set_state(Body, seconds + (length ? double(*length) / kBodyRate : seconds));
  if (parser->is_done())
    return handle();
  if (bh::token_list(request["expect"]).exists("100-continue") &&
      !buffer.size()) {
    queued += "HTTP/1.1 100 Continue\r\n\r\n";
    send();
  }
  read_body();
}

void Connection::read_body() {
  if (parser->is_done())
    return handle();
  bh::async_read_some(socket, buffer, *parser,
                      guarded([this](const Error &error, size_t bytes) {
                        error ? fail(error) : take_body(bytes);
                      }));
}

void Connection::take_body(size_t bytes) {
  if (parser->content_length() || reserve(int64_t(bytes)))
    read_body();
}

void Connection::handle() {
  set_state(Handling, 0);
  deadline = INT64_MAX; // the model takes the time that it takes
  auto &message = parser->get();
  HttpRequest request;
  request.id = exchange->record.id;
  request.method = exchange->record.method;
  request.path = percent_decoded(exchange->record.path);
  const std::string target = text_of(message.target());
  if (size_t at = target.find('?'); at != target.npos)
    request.query = target.substr(at + 1);
  request.type = media_type(text_of(message["content-type"]));
  request.key = bearer(text_of(message["authorization"]));
  if (request.key.empty())
    request.key = text_of(message["x-api-key"]);
  request.host = text_of(message["host"]);
  request.origin = text_of(message["origin"]);
  request.body = std::move(message.body());
  request.received = exchange->received;
  exchange->record.received_bytes = int64_t(request.body.size());
  auto reply = std::make_shared<Reply>(shared_from_this(), exchange);
  asio::post(shared.jobs,
             [&shared = shared, request = std::move(request), reply]() mutable {
               try {
                 shared.settings.handler(std::move(request), reply);
               } catch (...) {
                 // The reply says so when it goes away.
               }
             });
  watch();
}

// A client that closes its side has left: nothing else tells it from one that
// waits.
void Connection::watch() {
  if (watching || buffer.size())
    return;
  watching = true;
  socket.async_wait(
      asio::socket_base::wait_read, guarded([this](const Error &error, size_t) {
        if (error)
          return;
        watching = false;
        if (state != Handling)
          return;
        char byte;
        ssize_t n =
            recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
          lose();
        else if (n < 0)
          watch();
      }));
}

void Connection::lose() {
  if (!exchange || exchange->left || exchange->ended)
    return;
  exchange->left = exchange->record.left = true;
  if (auto call = std::move(exchange->when_left))
    call();
}

//===- writing ------------------------------------------------------------===//

void Connection::begin(const std::shared_ptr<Exchange> &whose, int status,
                       const std::string &type, int64_t length,
                       const HttpHeaders &headers) {
  if (whose != exchange || state != Handling || exchange->begun)
    return;
  exchange->begun = true;
  exchange->keep &= !shared.draining && (length >= 0 || exchange->chunks);
  exchange->chunks &= length < 0;
  exchange->record.status = status;
  HttpHeaders all = shared.settings.headers;
  all.insert(all.end(), headers.begin(), headers.end());
  queued += answer_head(status, type, length, exchange->chunks, exchange->keep,
                        exchange->record.id, all);
  send();
}

void Connection::write(const std::shared_ptr<Exchange> &whose,
                       const std::string &piece) {
  if (whose != exchange || state != Handling || exchange->head_only ||
      piece.empty())
    return;
  exchange->chunks ? append_chunk(piece, queued) : void(queued += piece);
  exchange->record.sent_bytes += int64_t(piece.size());
  // What comes in one piece is in memory in any case.
  if (exchange->chunks &&
      int64_t(queued.size()) > shared.settings.limits.unsent_bytes)
    return close();
  send();
}

void Connection::end(const std::shared_ptr<Exchange> &whose) {
  if (whose != exchange || state != Handling || exchange->ended)
    return;
  if (exchange->chunks && !exchange->head_only)
    queued += "0\r\n\r\n";
  exchange->ended = true;
  exchange->when_left = nullptr;
  send();
}

void Connection::abandon(const std::shared_ptr<Exchange> &whose) {
  if (whose == exchange && state == Handling && !exchange->ended)
    close();
}

void Connection::send() {
  if (writing)
    return;
  if (sent_of == sending.size()) {
    sending.clear();
    sent_of = 0;
    sending.swap(queued);
  }
  if (sending.empty()) {
    deadline = state == Handling ? INT64_MAX : deadline;
    if (exchange && exchange->ended)
      finish();
    return;
  }
  writing = true;
  if (state == Handling)
    deadline = now_ns() + int64_t(shared.settings.limits.seconds * kSecond);
  socket.async_write_some(
      asio::buffer(sending.data() + sent_of, sending.size() - sent_of),
      guarded([this](const Error &error, size_t bytes) {
        writing = false;
        if (error)
          return close();
        sent_of += bytes;
        send();
      }));
}

void Connection::finish() {
  log();
  if (!exchange->keep || shared.draining)
    return linger();
  if (watching) { // ends that wait, which finds another state
    Error ignored;
    state = Idle;
    socket.cancel(ignored);
    watching = false;
  }
  await_request();
}

void Connection::refuse(int status, const std::string &why) {
  if (!exchange)
    exchange = std::make_shared<Exchange>();
  if (exchange->record.id.empty())
    exchange->record.id = request_id("");
  exchange->received = exchange->received ? exchange->received : since;
  exchange->keep = false;
  set_state(Handling, shared.settings.limits.seconds);
  const std::string body = shared.settings.error(status, why);
  begin(exchange, status, "application/json", int64_t(body.size()), {});
  write(exchange, body);
  end(exchange);
}

void Connection::log() {
  exchange->record.ns = now_ns() - exchange->received;
  if (shared.settings.log)
    shared.settings.log(exchange->record);
}

void Connection::linger() {
  Error ignored;
  socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  set_state(Lingering, kLingerSeconds);
  discard();
}

void Connection::discard() {
  buffer.clear();
  socket.async_read_some(buffer.prepare(65536),
                         guarded([this](const Error &error, size_t) {
                           error ? close() : discard();
                         }));
}

void Connection::close() {
  if (state == Closed)
    return;
  lose();
  if (exchange && state == Handling)
    log();
  state = Closed;
  --shared.open;
  Error ignored;
  socket.close(ignored);
}

void Connection::check(int64_t now) {
  if (state == Closed || now < deadline)
    return;
  if (state == Head || state == Body)
    return refuse(408, "the request did not come in time");
  close();
}

void Connection::drain() {
  if (state == Idle || state == Head || state == Body)
    close();
}

} // namespace gm
